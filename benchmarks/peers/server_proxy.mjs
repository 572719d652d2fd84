// fal's server proxy on Express, as its documentation mounts it: node server_proxy.mjs PORT FAL_PORT
import { createHandler, route } from "@fal-ai/server-proxy/express";
import { argv } from "node:process";
import express from "express";

const [port, fal] = argv.slice(2);
const app = express();
app.use(express.json());
app.all(route, createHandler({ allowedUrlPatterns: [`127.0.0.1:${fal}/**`] }));
app.listen(Number(port), "127.0.0.1");
