"""What each error means for the one who meets it: its cause, and what to do.

The pages under /problems and docs/errors.md are made from these two tables, so neither can lag behind the other.
"""

from typing import NamedTuple

from app.domain.errors import Code


class Help(NamedTuple):
    """Whole sentences for a person who has just met the error."""

    cause: str
    remedy: str


class JobErrorHelp(NamedTuple):
    """The same for the code of a job that failed; `title` is its heading."""

    title: str
    cause: str
    remedy: str


REMEDIES = {
    # --- the request cannot be read
    Code.MALFORMED: Help(
        "The request breaks a rule of HTTP, or of this route, so that it cannot be read.",
        "`detail` says which part. Compare the request with the route's example in the reference of the API.",
    ),
    Code.JSON_INVALID: Help(
        "The body is not JSON: often a comma too many, a quote that the shell removed, or a form.",
        "Check the body with a JSON parser, and send it with `Content-Type: application/json`.",
    ),
    Code.BODY_MISSING: Help(
        "The route needs a body, and none arrived.",
        "Send a JSON object. With `curl` that is `-d '{…}'`; a redirect on the way may have dropped it.",
    ),
    Code.DUPLICATE_KEY: Help(
        "An object of the body has the same member twice, and programs disagree about which one counts.",
        "Send each member once; `detail` names it.",
    ),
    Code.TOO_DEEP: Help(
        "Lists and objects are nested in each other more often than this gateway reads.",
        "Send a flatter body. No input of a model needs that depth.",
    ),
    Code.TOO_MANY_MEMBERS: Help(
        "The body has more members and list items than this gateway reads, or more text outside its data URIs.",
        "Send less in one request. Pictures go to `POST /v1/files`, or into a data URI.",
    ),
    Code.INVALID_CURSOR: Help(
        "A cursor is only valid as it was given by a reply of the same route.",
        "Send `next_cursor` of the last page unchanged, or leave `cursor` out to begin anew.",
    ),
    Code.INVALID_HEADER: Help(
        "A header is given twice, or its value has the wrong form.",
        "`detail` names the header and the form that it must have.",
    ),
    # --- keys and rights
    Code.UNAUTHENTICATED: Help(
        "There is no key, or it was mistyped, has expired, or was revoked.",
        "Send `Authorization: Bearer fg_live_…`. Your administrator makes keys: `filmgate keys create`.",
    ),
    Code.FORBIDDEN: Help(
        "The key is valid, but it may not do this.",
        "`detail` says what is missing. For a scope, ask your administrator for a key that was made with it: "
        "`filmgate keys create NAME --scope …`.",
    ),
    Code.MODEL_NOT_ALLOWED: Help(
        "The key is restricted to some models, and this is none of them.",
        "Use a model that `detail` names, or ask your administrator for a key without the restriction.",
    ),
    Code.ORIGIN_NOT_ALLOWED: Help(
        "The key or token is bound to certain web pages, and the request comes from none of them.",
        "Use it on a page that `detail` names, or ask for one that names this page's origin. A program needs a key "
        "without origins.",
    ),
    Code.ADDRESS_EXPIRED: Help(
        "A signed address of a clip is valid for a limited time, which is over.",
        "Read the job again: its output has a new address. `POST /v1/jobs/{job_id}/video/link` makes one, too.",
    ),
    Code.OVER_STORAGE: Help(
        "The clips and uploads of the team take all the bytes that it may keep.",
        "Erase old jobs (`DELETE /v1/jobs/{job_id}`), or ask your administrator for more storage.",
    ),
    Code.CSRF: Help(
        "A browser is signed in by a cookie, and the request does not prove that Filmgate's own page sent it.",
        "Load the page again. A program sends its key in `Authorization`, or with the cookie the header "
        "`X-CSRF-Token` with `csrf` of `GET /v1/session`.",
    ),
    Code.LINK_ENDED: Help(
        "A link or a code that works once was used, revoked, or has expired.",
        "Ask whoever sent it for a new one: `filmgate users invite` makes invitations.",
    ),
    # --- money and limits
    Code.OVER_BUDGET: Help(
        "A limit on dollars does not have enough left for the job's price. Nothing was bought.",
        "`limits` says which limit, what is left, and when it starts again. A shorter clip or a cheaper model may "
        "fit (`POST /v1/quotes`); an administrator can raise the limit for a while.",
    ),
    Code.OVER_MAX_USD: Help(
        "The job costs more than the `max_usd` of its own request. Nothing was bought.",
        "Ask `POST /v1/quotes` for the price, then send a higher `max_usd`, or a cheaper input.",
    ),
    Code.OVER_LIMIT: Help(
        "A limit on jobs, seconds of video or submissions is reached.",
        "`limits` says which limit, whose it is, and when it starts again; `Retry-After` when to try again.",
    ),
    Code.QUEUE_TOO_LONG: Help(
        "More jobs wait than the request's own `fal_max_queue_length` allows.",
        "Try again later, or leave the parameter out.",
    ),
    Code.TOO_MANY_BAD_KEYS: Help(
        "Many keys that open nothing came from your address, so further ones are not looked up for a while.",
        "Check the key of every program behind this address. Valid keys are still served.",
    ),
    Code.TOO_MANY_STREAMS: Help(
        "Each key may have a number of event streams open at once, and has them.",
        "Close streams that nobody reads, or follow all jobs in one: `GET /v1/events` with "
        "`Accept: text/event-stream`.",
    ),
    Code.TOO_MANY_TOKENS: Help(
        "The key has made so many browser tokens that have not expired yet.",
        "Give tokens a shorter life (`expires_in`), and use one for a visitor's whole visit.",
    ),
    Code.TOO_MANY_UPLOADS: Help(
        "The key has announced many uploads whose bytes have not arrived.",
        "Finish them, or wait until they expire: an hour after each was announced.",
    ),
    # --- what is not there, or not now
    Code.NOT_FOUND: Help(
        "It does not exist, or belongs to somebody else: the two look alike on purpose.",
        "Check the address and the id, and that the key belongs to the user who made it.",
    ),
    Code.MODEL_NOT_FOUND: Help(
        "No model has this id here. The id is fal's endpoint path, such as "
        "`fal-ai/kling-video/v2/master/image-to-video`.",
        "`GET /v1/models` lists all of them. An operator can add others with `FILMGATE_MODELS`.",
    ),
    Code.METHOD_NOT_ALLOWED: Help(
        "The address exists, but not with this method.",
        "The header `Allow` of the reply lists those that it has.",
    ),
    Code.REQUEST_TIMEOUT: Help(
        "The request's bytes arrived too slowly, or stopped.",
        "Send it again. A large file may need a faster line, or `POST /v1/files` on its own before the job.",
    ),
    Code.CONFLICT: Help(
        "Its present state does not allow this.",
        "`detail` says why. Read it again, then decide.",
    ),
    Code.ALREADY_ENDED: Help(
        "The job has ended, so nothing about it can change.",
        "Read the job: it has its result, or its error.",
    ),
    Code.NOT_ENDED: Help(
        "This is possible only for a job that has ended.",
        "Wait for its end, or cancel it first (`POST /v1/jobs/{job_id}/cancel`).",
    ),
    Code.NOT_HELD: Help(
        "Only a job that is held, or whose step is set aside, is resolved by a person, and this one is not, or not "
        "any more.",
        "Read it again: `filmgate jobs show ID`. Any other job ends by itself, or by `filmgate jobs cancel ID`.",
    ),
    Code.NO_VIDEO: Help(
        "The job has not made a clip: it has not ended, it failed, or its model makes something else.",
        "Read the job: `status` says how far it is, `output` has what it made.",
    ),
    Code.HAS_LIVE_JOBS: Help(
        "It has jobs that have not ended, and their money is still decided.",
        "Wait for them, or cancel them: `filmgate jobs cancel ID`; held ones are ended by `filmgate jobs resolve`.",
    ),
    Code.KEY_ENDED: Help(
        "The key was revoked or rotated, or has expired.",
        "Make a new one: `filmgate keys create`.",
    ),
    Code.BELOW_ZERO: Help(
        "The correction would take more from what was spent than is there.",
        "Read the ledger (`filmgate ledger list`), and correct at most what was spent.",
    ),
    Code.ENDPOINT_NOT_ACTIVE: Help(
        "The webhook endpoint is paused, or was disabled after many failures in a row.",
        'Repair the receiver, then send `"paused": false` to the endpoint.',
    ),
    Code.TOO_MANY_ENDPOINTS: Help(
        "A team may have a limited number of webhook endpoints.",
        "Delete one that nobody needs. One endpoint can take all events of the team.",
    ),
    Code.TOO_MANY_SECRETS: Help(
        "Several secrets sign already, because earlier ones are still in their overlap.",
        "Wait until the oldest ends, or rotate with an overlap of 0 to end the others at once.",
    ),
    # --- the size and the type of what was sent
    Code.PAYLOAD_TOO_LARGE: Help(
        "The body is larger than this route reads.",
        "Send files to `POST /v1/files`, which reads pictures up to 30 MB and videos and sound up to 300 MB. If "
        "you are far below that, a proxy in front may have a lower limit.",
    ),
    Code.ADDRESS_TOO_LONG: Help(
        "The URL of the request, with its query, is too long.",
        "Send long values in the body.",
    ),
    Code.HEAD_TOO_LARGE: Help(
        "Request line and headers together are too large: often a cookie that was meant for another site.",
        "Send fewer or shorter headers.",
    ),
    Code.UNSUPPORTED_MEDIA_TYPE: Help(
        "The body's `Content-Type` is not one that this route reads.",
        "Send `application/json`; files as `multipart/form-data` to `POST /v1/files`.",
    ),
    Code.RANGE_NOT_SATISFIABLE: Help(
        "The `Range` begins behind the end of the file.",
        "`Content-Range` of the reply has the file's size. Ask for a part of it, or for the whole.",
    ),
    # --- the content is wrong
    Code.INVALID_INPUT: Help(
        "The body can be read, but a value is missing, unknown, or outside of what is allowed. Nothing was bought.",
        "Each item of `errors` has a `pointer` to the member and a sentence. `GET /v1/models/{model_id}` has the "
        "schema of the model's input.",
    ),
    Code.BODY_NOT_OBJECT: Help("The body is JSON, but not an object.", "Send `{…}` with the members of the route."),
    Code.BODY_NOT_ARRAY: Help("The body is JSON, but not a list.", "Send `[…]`, as the route's example does."),
    Code.INVALID_UNICODE: Help(
        "A text has half of a surrogate pair, which is no character: often an emoji that was cut in the middle.",
        "Cut texts by characters, not by bytes or UTF-16 units.",
    ),
    Code.PRICE_UNKNOWN: Help(
        "The registry has no price for this model or this input, and a job without a price cannot be reserved.",
        "Use another input or model. An operator can give the price with `FILMGATE_PRICES`.",
    ),
    Code.IDEMPOTENCY_KEY_REUSED: Help(
        "The same `Idempotency-Key` was sent before with another body.",
        "Use a new key for each new job, and the same key only to repeat the same request.",
    ),
    Code.URL_NOT_ALLOWED: Help(
        "The URL leads to a private or reserved address, or its form is not one that is called. Messages and files "
        "go to public addresses only, so that nobody can reach into this network.",
        "Name a public `https` address. To receive webhooks on your own machine, use `filmgate webhooks listen "
        "--forward URL`. For a consumer in the operator's network, an operator adds it to `FILMGATE_EGRESS_ALLOW`.",
    ),
    Code.URL_SCHEME: Help(
        "The URL does not begin with `https://`.",
        "Use `https`. An operator can permit `http` for named hosts with `FILMGATE_EGRESS_ALLOW`.",
    ),
    Code.BAD_DATA_URI: Help(
        "The data URI cannot be read as a file.",
        "Write `data:image/jpeg;base64,` and the file's bytes in base64, or send the file to `POST /v1/files`.",
    ),
    Code.NOT_AN_IMAGE: Help(
        "The bytes are not a picture, whatever the name says, or the file is damaged.",
        "Open it in an image program, save it as JPEG or PNG, and send that.",
    ),
    Code.UNSUPPORTED_IMAGE: Help(
        "It is a picture of a type that Kling does not read, and that is not converted here.",
        "Send JPEG, PNG or WebP. HEIC, HEIF, AVIF, GIF, BMP and TIFF are converted.",
    ),
    Code.IMAGE_TOO_SMALL: Help(
        "A side of the picture is shorter than the model reads.",
        "Send a larger picture; `detail` has its size and the least.",
    ),
    Code.IMAGE_TOO_LARGE: Help(
        "The picture has more bytes or pixels than the model reads.",
        "Make it smaller, or save it as JPEG; `detail` has its size and the most.",
    ),
    Code.IMAGE_RATIO: Help(
        "The picture is wider or taller than the model reads, in proportion.",
        "Cut it; `detail` has the proportion that is allowed.",
    ),
    # --- not your fault
    Code.UNAVAILABLE: Help(
        "Something that is needed for this does not answer at the moment.",
        "Send the same request again after `Retry-After`. With an `Idempotency-Key` that is safe for a submission.",
    ),
    Code.OVERLOADED: Help(
        "More is asked than this process can do. The request was refused before anything was begun.",
        "Send it again after `Retry-After`, and slower. An operator can add another API process.",
    ),
    Code.STORE_UNAVAILABLE: Help(
        "The store does not answer, or accepts no writes. Nothing is lost that was accepted before.",
        "Send the request again after `Retry-After`. Operators find the cause with `filmgate doctor`.",
    ),
    Code.OUTCOME_UNKNOWN: Help(
        "It was written, but no replica of the store has confirmed it in time. It may have happened or not.",
        "Send the same request with the same `Idempotency-Key` again: it is done once.",
    ),
    Code.STORAGE_UNAVAILABLE: Help(
        "The folder or bucket in which clips and uploads are kept does not answer, is full, read-only or gone.",
        "Try again after `Retry-After`; `detail` says whether an operator must act, and `filmgate doctor` how.",
    ),
    Code.UPSTREAM_UNAVAILABLE: Help(
        "fal does not answer, and this request cannot be served without it.",
        "Try again after `Retry-After`. Jobs that were accepted wait, and are not lost.",
    ),
    Code.INTERNAL_ERROR: Help(
        "A fault of this program. It was logged.",
        "Tell your operator the `trace_id` of the reply. With an `Idempotency-Key` a submission may be sent again.",
    ),
}

JOB_ERRORS = {
    "upstream_rejected_input": JobErrorHelp(
        "The model refused the input",
        "fal's model refused the input: often its content checker, or a picture that it cannot read.",
        "`error.upstream.detail` has fal's own words. Change the prompt or the picture, and submit again.",
    ),
    "upstream_rejected": JobErrorHelp(
        "fal refused the submission",
        "fal did not accept the request, for a reason that is not the input: the model is gone there, or our "
        "account may not use it.",
        "Tell your operator; `error.upstream` and the log have fal's reason. Nothing is charged.",
    ),
    "upstream_error": JobErrorHelp(
        "fal failed",
        "fal accepted the job and could not finish it. Nothing is charged.",
        "Submit it again.",
    ),
    "start_timeout": JobErrorHelp(
        "It did not start in time",
        "The job waited longer than its `start_deadline` (at fal's routes: `X-Fal-Request-Timeout`). Nothing is "
        "charged.",
        "Submit it again with a later deadline, or when fewer jobs wait.",
    ),
    "deadline_exceeded": JobErrorHelp(
        "It did not end in time",
        "The job had not ended by its `deadline`, and was cancelled.",
        "Submit it again with a later deadline. If it was running, fal may have charged it: `charged_usd` is null "
        "until that is known.",
    ),
    "result_unavailable": JobErrorHelp(
        "The result cannot be fetched",
        "fal says that the clip is finished, and does not hand it over. It is charged.",
        "Tell your operator: fal's dashboard may have the clip, and `error.upstream` says what fal answered.",
    ),
    "bad_upstream_result": JobErrorHelp(
        "The result cannot be read",
        "fal's result does not have the form that it should have. It is charged.",
        "Tell your operator: an alarm was raised, and fal's dashboard may have the clip.",
    ),
    "unknown_outcome": JobErrorHelp(
        "A person ended it",
        "It stayed unknown what fal had done with the job, and an operator ended it.",
        "`charged_usd` has what it cost. Submit it again if you still need the clip.",
    ),
    "canceled": JobErrorHelp(
        "It was cancelled",
        "Somebody cancelled the job. Free while it waited; while it ran, fal decides whether it is charged.",
        "Submit it again if you still need the clip.",
    ),
}
