"""Make and measure the small models that come with the package."""
