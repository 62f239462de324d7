"""Images that somebody handed in, decoded in processes of their own, which they can neither block nor crash.

decoder_pool     `decode`: bytes -> image, by an idle decoder process
decoder          one such process, seen from the outside: started, asked, killed when its time is over
decoder_process  the same process from the inside: every image within a time and a memory limit
image_bytes      reading an image's file with a bound on the bytes held in memory at a time
"""
