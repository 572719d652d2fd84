import { fal } from "@fal-ai/client";
fal.config({ proxyUrl: { url: `${process.env.GATEWAY}/fal/proxy`, when: "always" } }); // the line added; FAL_KEY is the key

const { request_id } = await fal.queue.submit("fal-ai/kling-video/v2/master/image-to-video", {
  input: {
    prompt: process.argv[2],
    image_url: process.argv[3],
  },
});

let status;
do {
  await new Promise((resolve) => setTimeout(resolve, 100));
  status = await fal.queue.status("fal-ai/kling-video/v2/master/image-to-video", {
    requestId: request_id,
    logs: true,
  });
} while (status.status !== "COMPLETED");

const result = await fal.queue.result("fal-ai/kling-video/v2/master/image-to-video", {
  requestId: request_id,
});
console.log(JSON.stringify({ outcome: result.data }));
