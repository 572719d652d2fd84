// What a customer's program does with fal's client for JavaScript: the same cases in Node and in a web page.
// Each takes the configured client, the options of the test, and `say`, which tells the test a line.

const APP = "fal-ai/kling-video/v2/master/image-to-video";
const LOOK_MS = 100;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

const THERE = { "https://queue.fal.run": "/fal/queue", "https://fal.run": "/fal/run", "https://rest.fal.ai": "/fal/rest" };

// A `requestMiddleware` that leads every request of the client's to this gateway.
export const leadingTo = (gateway) => async (request) => {
  const { origin } = new URL(request.url);
  return { ...request, url: request.url.replace(origin, gateway + THERE[origin]) };
};

// A status as the client shows it.
export const told = (status) => ({
  status: status.status,
  position: status.queue_position ?? null,
  logs: (status.logs ?? []).map((log) => log.message),
});

// An error as the client raises it.
export const failure = (error) => ({
  kind: error.name,
  status: error.status ?? null,
  message: error.message,
  body: error.body ?? null,
  fields: error.fieldErrors ?? null,
  request_id: error.requestId ?? null,
  timeout_type: error.timeoutType ?? null,
});

async function completed(fal, requestId) {
  for (;;) {
    const status = await fal.queue.status(APP, { requestId, logs: true });
    if (status.status === "COMPLETED") return told(status);
    await wait(LOOK_MS);
  }
}

// Submit, follow with logs, and the result; `more` may ask for streaming or a timeout.
export async function subscribe(fal, options, say) {
  const enqueued = [];
  const result = await fal.subscribe(APP, {
    input: options.input,
    logs: true,
    onEnqueue: (requestId) => {
      enqueued.push(requestId);
      say({ enqueued: requestId });
    },
    onQueueUpdate: (update) => say({ update: told(update) }),
    ...options.more,
  });
  return { request_ids: enqueued, request_id: result.requestId, result: result.data };
}

// The queue by hand.
export async function by_id(fal, options, say) {
  const submitted = await fal.queue.submit(APP, { input: options.input });
  const requestId = submitted.request_id;
  say({ update: told(await fal.queue.status(APP, { requestId, logs: true })) });
  const after = await completed(fal, requestId);
  const result = await fal.queue.result(APP, { requestId });
  return { after, request_ids: [requestId], request_id: result.requestId, result: result.data };
}

// Submit, cancel, wait for the end; then cancel once more.
export async function cancel(fal, options) {
  const { request_id: requestId } = await fal.queue.submit(APP, { input: options.input });
  await fal.queue.cancel(APP, { requestId });
  const found = { status: await completed(fal, requestId) };
  for (const [name, call] of [["get", fal.queue.result], ["again", fal.queue.cancel]]) {
    try {
      found[name] = (await call(APP, { requestId })) ?? null;
    } catch (error) {
      found[name] = failure(error);
    }
  }
  return found;
}

// The client gives up; what the queue says of the request afterwards.
export async function timeout(fal, options, say) {
  let requestId;
  const onEnqueue = (id) => {
    requestId = id;
    say({ enqueued: id });
  };
  const more = { timeout: options.timeout, onEnqueue };
  try {
    await fal.subscribe(APP, { input: options.input, ...more });
  } catch (error) {
    return { error: failure(error), after: await completed(fal, requestId) };
  }
  return { error: null };
}

// The same input again, as soon as the queue has been asked about the first.
export async function takes(fal, options) {
  const first = (await fal.queue.submit(APP, { input: options.input })).request_id;
  await fal.queue.status(APP, { requestId: first });
  const second = (await fal.queue.submit(APP, { input: options.input })).request_id;
  const clips = [];
  for (const requestId of [first, second]) {
    await completed(fal, requestId);
    clips.push((await fal.queue.result(APP, { requestId })).data.video.url);
  }
  return { request_ids: [first, second], clips };
}

// The stream of states that the client opens without a server in between: its token is in the address.
export async function client_stream(fal, options) {
  const { request_id: requestId } = await fal.queue.submit(APP, { input: options.input });
  const states = [];
  const stream = await fal.queue.streamStatus(APP, { requestId, connectionMode: "client" });
  stream.on("data", (status) => states.push(status.status));
  await stream.done();
  const result = await fal.queue.result(APP, { requestId });
  return { states, request_ids: [requestId], result: result.data };
}

// Submit with a webhook, and leave.
export async function hook(fal, options) {
  const submitted = await fal.queue.submit(APP, { input: options.input, webhookUrl: options.hook });
  return { request_id: submitted.request_id };
}

export async function run(fal, options) {
  const result = await fal.run(APP, { input: options.input });
  return { request_id: result.requestId, result: result.data };
}

// A file, uploaded by hand and then asked for by its URL.
export async function upload(fal, options) {
  const file = new File([bytes(options.content)], "first frame.jpg", { type: "image/jpeg" });
  const url = await fal.storage.upload(file);
  const result = await fal.subscribe(APP, { input: { ...options.input, image_url: url } });
  return { url, request_id: result.requestId, result: result.data };
}

// A Blob in the input, which the client uploads by itself.
export async function blob(fal, options) {
  const image = new Blob([bytes(options.content)], { type: "image/jpeg" });
  const result = await fal.subscribe(APP, { input: { ...options.input, image_url: image } });
  return { request_id: result.requestId, result: result.data };
}

// One case; an error of the client's is an outcome too.
export async function outcome(name, fal, options, say) {
  const cases = { subscribe, by_id, cancel, timeout, takes, client_stream, hook, run, upload, blob };
  try {
    return await cases[name](fal, options, say);
  } catch (error) {
    return { error: failure(error) };
  }
}
