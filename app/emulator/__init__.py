"""A local fal: queue, storage, webhooks, history and a ledger. It imports nothing of Filmgate.

__main__    first lines of the process;  process  command line, server
options     its options
server      the ASGI application;  emulator  composition root
submit      submits and `/run`                              queue      status, stream, result, cancel
storage     uploads and files                               platform   history, billing;  paging  pages, errors
listing     what fal says of its models: with catalog       kling/     the models: inputs, outputs, prices
control     /emulator/*, the sample image                   scenarios  faults on request, as data
replies     fal's error shapes                              account    requests, concurrency, charges
clock       emulated time                                   renderer   outputs: with validation, material, probe,
bills       what a request costs                                       images, clip, sound
webhooks    deliveries;  signature                          journal    the state that survives a restart
"""
