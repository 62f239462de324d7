"""A batch of pairs on one device: load, stylize several at a time, commit. Runs in a worker process; no prefect.

    job        what every pair of a run shares
    messages   what the process says while it works: a chunk is begun, a pair is finished
    inputs     a pair's pictures: read, checked, decoded and at their size
    decoding   a picture decoded beside this process, which it can neither hold nor kill
    decoder    such a process as its starter sees it
    decoder_process  and from the inside: a time and a memory for each picture
    engine     the backbone and the last few styles, kept in the process from batch to batch
    capacity   how many pairs of a size go on the device together
    chunks     which of the loaded pairs are stylized next, together
    lost_device  a GPU that raises errors alone, told from a pair that fails
    stylizing  one chunk on the device; one that fails is done again in halves, down to the pair at fault
    finishing  a finished pastiche -> the values of its file, and what a reader sees of them
    stylized   a finished pastiche on its way to storage
    history    some dozens of a pair's evaluations
    timelines  some frames of how a pastiche came to be, where a run asks for it
    animation  frames -> a moving picture
    making_up  the stub's made-up pictures, where a run asks for it
    writing    a finished pastiche -> image file, timeline, then record: the commit of a pair
    failures   an error -> the record of a failed attempt
    batch      where the process comes in: pairs are loaded and written beside the device's work

A batch is the unit of scheduling: pairs of one style and options. A chunk is the unit of arithmetic: those of its
pairs that have one size too, as many as the device holds.
"""
