"""The name of the package `qaclims_path.pipeline` in earlier versions; importing it says where its modules went."""

raise ImportError(
    "qaclims_path.recipes is now qaclims_path.pipeline, with a folder per stage: `train_cam`, for example, is in "
    "qaclims_path.pipeline.cam.train. What `import qaclims_path` offers is in docs/python-api.md."
)
