// Express, svix and Convex's HTTP client: how it is done on Node.
// `skipQueue` because the client would otherwise send one mutation after the other.

import process from "node:process";
import { ConvexHttpClient } from "convex/browser";
import express from "express";
import { Webhook } from "svix";

const webhook = new Webhook(process.env.CLERK_WEBHOOK_SIGNING_SECRET);
const client = new ConvexHttpClient(process.env.CONVEX_URL);
client.setAdminAuth(process.env.CONVEX_DEPLOY_KEY);

const app = express();

app.get("/healthz", (_request, response) => {
  response.send("ok");
});

app.post("/webhooks/clerk", express.raw({ type: "*/*" }), async (request, response) => {
  try {
    webhook.verify(request.body, request.headers);
  } catch {
    response.status(400).end();
    return;
  }
  const { data } = JSON.parse(request.body);
  await client.mutation("users:upsertFromClerk", { data }, { skipQueue: true });
  response.status(200).end();
});

app.listen(Number(process.env.PORT), "127.0.0.1");
