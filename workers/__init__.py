"""The pipeline: small steps move an admitted job forward until it ends.

    lane      grants free slots, polls running jobs at fal, enqueues the other steps (queue `lanes`)
    submit    claims a job, posts it to fal once, adopts or holds it (queue `work`)
    finalize  reads the result and settles status and money together (queue `work`)
    deliver   signs and sends one webhook (queue `deliveries`)

A host's supervisor forks the processes that do this, and a keeper that keeps lanes enqueued and heartbeats written.
RQ carries ids only. State, times and money change in the store's scripts: a lost task becomes due again, and a task
that runs twice changes nothing the second time.
"""
