"""A local fal: queue, storage, webhooks, history and a ledger. It knows fal, and nothing of Filmgate.

__main__    command line
options     what it was started with
server      the ASGI application;  emulator  everything the process owns
submit      a request comes in, and `/run`                  queue      status, stream, result, cancel
storage     uploads and files                               platform   history, billing, prices
control     /emulator/*, the sample image                   scenarios  the faults one may ask for, as data
replies     fal's error shapes                              account    requests, concurrency, charges
clock       emulated time                                   renderer   clips: with validation, images, clip, prices
webhooks    deliveries;  signature                          journal    what survives a restart
"""
