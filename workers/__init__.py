"""The pipeline: an admitted job is pushed forward by small steps until it ends.

    lane      grants free slots, polls what runs at fal, rings the other steps (queue `lanes`)
    submit    claims a job, posts it to fal once, adopts or holds it (queue `work`)
    finalize  reads the result and settles status and money together (queue `work`)
    deliver   signs and sends one webhook (queue `deliveries`)

RQ is the doorbell: it carries ids. State, time and money are in the store's scripts, so a task that is lost
comes due again, and a task that runs twice changes nothing the second time.
"""
