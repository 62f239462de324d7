"""Decode untrusted images in subprocesses, so that no image can block or crash the caller.

decoder_pool     `decode` turns bytes into an image in an idle decoder process
decoder          the parent's side of one decoder process: start it, send requests, kill it when its time is up
decoder_process  the child's side: decodes each image within a CPU time limit and a memory limit
image_bytes      reads an image file with a bound on the bytes that are in memory at a time
"""
