import { fal } from "@fal-ai/client";
fal.config({ proxyUrl: { url: `${process.env.GATEWAY}/fal/proxy`, when: "always" } }); // the line added; FAL_KEY is the key

const result = await fal.subscribe("fal-ai/kling-video/v2/master/image-to-video", {
  input: {
    prompt: process.argv[2],
    image_url: process.argv[3],
  },
  logs: true,
  onQueueUpdate: (update) => {
    if (update.status === "IN_PROGRESS") {
      update.logs.map((log) => log.message).forEach((message) => console.log(message));
    }
  },
});
console.log(JSON.stringify({ outcome: result.data }));
