"""A local fal: queue, storage, webhooks, history and a ledger. It knows fal, and nothing of Filmgate.

__main__    command line
options     what it was started with
server      the ASGI application;  emulator  everything the process owns
queue       submit, status, stream, result, cancel, run     storage   uploads and files
platform    history, billing, prices                        control   /emulator/*, the sample image
scenarios   the faults one may ask for, as data              replies   fal's error shapes
account     requests, concurrency, charges                  agenda    emulated time
studio      input in, clip out;  validation, pictures, clip, prices
postman     webhook deliveries;  signature                  journal   what survives a restart
"""
