// What a customer's program does with openapi-fetch and the types that openapi-typescript has made: tsc checks it
// strictly.

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

type Job = components["schemas"]["JobView"];
type Problem = components["schemas"]["Problem"];

declare const process: { env: Record<string, string> };
declare const console: { log: (line: string) => void };

const { GATEWAY, FILMGATE_KEY, IMAGE, PROMPT } = process.env as Record<string, string>;
const client = createClient<paths>({ baseUrl: GATEWAY!, headers: { Authorization: `Bearer ${FILMGATE_KEY}` } });
const body = (prompt: string, max_usd: string) => ({
  input: { prompt, image_url: IMAGE },
  priority: "normal" as const,
  max_usd,
});

const made = await client.POST("/v1/jobs", {
  params: { header: { "Idempotency-Key": PROMPT!, Prefer: "wait=50" } },
  body: body(PROMPT!, "1.40"),
});
if (made.data === undefined) throw new Error(made.error.detail);
const job: Job = made.data;

const refused = await client.POST("/v1/jobs", { body: body("too dear", "0.01") });
if (refused.error === undefined) throw new Error("nothing was refused");
const problem: Problem = refused.error;

const page = await client.GET("/v1/jobs", { params: { query: { limit: 1 } } });
if (page.data === undefined) throw new Error(page.error.detail);

// @ts-expect-error  an amount is a string
void client.POST.bind(null, "/v1/jobs", { body: { ...body("", ""), max_usd: 1 } });

console.log(
  JSON.stringify({
    outcome: {
      status: job.status,
      clip: job.output?.video?.url,
      year: Number(job.created_at.slice(0, 4)),
      code: problem.code,
      listed: page.data.data.map((one) => one.id === job.id),
    },
  }),
);
