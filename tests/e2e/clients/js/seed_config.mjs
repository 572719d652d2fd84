import { fal } from "@fal-ai/client";

const key = process.env.FAL_KEY;
delete process.env.FAL_KEY; // so that the key below is the one that counts

fal.config({
  credentials: key,
  proxyUrl: { url: `${process.env.GATEWAY}/fal/proxy`, when: "always" }, // the line added
});

const result = await fal.subscribe("fal-ai/kling-video/v2/master/image-to-video", {
  input: {
    prompt: process.argv[2],
    image_url: process.argv[3],
  },
});
console.log(JSON.stringify({ outcome: result.data }));
