// MAJOR OPTIONS: Vercel's AI SDK in Node, through `/fal/proxy`; prints JSON lines. MAJOR is 6 or 7.

const [major, options] = process.argv.slice(2);
const provider = { 6: "2", 7: "3" }[major];
const { experimental_generateVideo: generateVideo } = await import(`ai-${major}`);
const { createFal } = await import(`ai-sdk-fal-${provider}`);

const gateway = process.env.GATEWAY;
const say = (line) => console.log(JSON.stringify(line));

// What docs/fal-clients.md shows; the key is FAL_KEY in the environment.
const fal = createFal({
  fetch: (url, init) => {
    const headers = new Headers(init.headers);
    headers.set("x-fal-target-url", url);
    return fetch(`${gateway}/fal/proxy`, { ...init, headers });
  },
});

// The SDK fetches clips from public addresses only, and those of the emulator are on this machine.
const urls = [];
const download = async ({ url }) => {
  urls.push(`${url}`);
  const reply = await fetch(url);
  return { data: new Uint8Array(await reply.arrayBuffer()), mediaType: reply.headers.get("content-type") };
};

const { prompt, image, n, input } = JSON.parse(options);
const quick = { 6: { pollIntervalMs: 100 }, 7: {} }[major];
try {
  const { videos } = await generateVideo({
    model: fal.video("kling-video/v2/master/image-to-video"),
    prompt: { text: prompt, image },
    n,
    download,
    poll: { intervalMs: 100 },
    maxRetries: 0,
    providerOptions: { fal: { ...quick, ...input } },
  });
  say({ outcome: { urls, kinds: videos.map((video) => video.mediaType), sizes: videos.map((video) => video.uint8Array.length) } });
} catch (error) {
  say({ outcome: { error: { kind: error.name, status: error.statusCode ?? null, message: error.message, body: error.responseBody ?? null } } });
}
