// OPTIONS: fal's former client for JavaScript, @fal-ai/serverless-client, in Node; prints JSON lines.

import * as fal from "@fal-ai/serverless-client";
import { leadingTo } from "./cases.mjs";

const say = (line) => console.log(JSON.stringify(line));

fal.config({ requestMiddleware: leadingTo(process.env.GATEWAY) }); // the line added; FAL_KEY is the key

const { input } = JSON.parse(process.argv[2]);
try {
  const result = await fal.subscribe("fal-ai/kling-video/v2/master/image-to-video", {
    input,
    pollInterval: 100,
    logs: true,
    onEnqueue: (request_id) => say({ enqueued: request_id }),
    onQueueUpdate: (update) => say({ update }),
  });
  say({ outcome: result });
} catch (error) {
  say({ outcome: { error: { kind: error.name, status: error.status ?? null, body: error.body ?? null } } });
}
