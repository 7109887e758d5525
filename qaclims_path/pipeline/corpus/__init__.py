"""Ask questions about every image and keep the answers as a corpus."""
