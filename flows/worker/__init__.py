"""One batch of pairs on one device: load, stylize several pairs at a time, commit. Runs in a worker process.

    job            what every pair of a run shares
    messages       the messages that a worker process emits while it works on a batch
    inputs         a pair's images: read, checked against the plan, decoded and resized
    weights        the run's weights file on the machine that needs it
    engine         the process-wide caches: the backbone and the last few encoded styles
    capacity       how many pairs of a size the device holds at once
    chunks         which of the loaded pairs are stylized together next
    lost_device    tells an error that has made the GPU unusable from the failure of a pair
    stylizing      one chunk on the device, bisected when it fails, down to the pair at fault
    finishing      a pastiche -> the pixel values of its file, and the notes about it
    stylized       the result of a pair between device and storage
    history        a few dozen samples of a pair's losses
    timelines      a few frames of how a pastiche evolved, where a run asks for them
    animation      frames -> an animated GIF or WebP
    stub_results   made-up results of the stub, for runs without a real backbone
    writing        a result -> image file, timeline, then record, which commits the pair
    failures       an error -> the record of a failed attempt
    batch          the pipeline: threads load and write pairs while the device works

A batch is the unit of scheduling: pairs with the same style and options. A chunk is the unit of computation: pairs of
a batch that also have the same size, at most as many as the device holds. Nothing in this package imports prefect.
"""
