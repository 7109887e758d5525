"""The stages of the pipeline, a folder per stage: options in, report out. The only room where other rooms meet.

May import report, engine, language, models, data, slides, compute, files and the ground. Inside, imports run one way:
`demo -> run -> segmenter -> {masks, cam} -> {corpus, tiling, inference, evaluation, configs}`; `datasets`, `judge`,
`answerer` and `doctor` stand apart.
"""
