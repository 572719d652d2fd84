// OPTIONS: TanStack AI with its adapter for fal in Node, through `/fal/proxy`; prints JSON lines.

import { generateVideo, getVideoJobStatus } from "@tanstack/ai";
import { falVideo } from "@tanstack/ai-fal";

const LOOK_MS = 100;
const gateway = process.env.GATEWAY;
const say = (line) => console.log(JSON.stringify(line));

// What docs/fal-clients.md shows; the key is FAL_KEY in the environment.
const adapter = falVideo("fal-ai/kling-video/v2/master/image-to-video", {
  proxyUrl: { url: `${gateway}/fal/proxy`, when: "always" },
});

async function ended(jobId) {
  for (;;) {
    const status = await getVideoJobStatus({ adapter, jobId });
    if (["completed", "failed"].includes(status.status)) return status;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const { prompt, image, input } = JSON.parse(process.argv[2]);
try {
  const { jobId } = await generateVideo({
    adapter,
    prompt: [
      { type: "text", content: prompt },
      { type: "image", source: { type: "url", value: image } },
    ],
    modelOptions: input,
    debug: false, // it would print its errors
  });
  const { status, url, error, usage } = await ended(jobId);
  say({ outcome: { request_id: jobId, status, url, error, usage } });
} catch (error) {
  say({ outcome: { error: { kind: error.name, status: error.status ?? null, message: error.message } } });
}
