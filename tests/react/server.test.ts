// The pages on a server, under React 19 and 18.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const PROGRAM = new URL("render.ts", import.meta.url).pathname;

for (const major of [19, 18]) {
  test(`React ${major} renders the pages without a window, and says nothing about it`, () => {
    const ran = spawnSync(process.execPath, [PROGRAM, String(major)], { encoding: "utf8", env: { ...process.env, TZ: "UTC" } });
    assert.equal(ran.stderr, "");
    assert.equal(ran.status, 0);
    const { version, users, audit, row, columns, german, numbers, actions, parts } = JSON.parse(ran.stdout) as Record<string, string>;
    assert.equal(version!.split(".")[0], String(major));
    assert.match(users!, /^<div class="ccx" lang="en"><header .*<div inert="" aria-busy="true">/);
    assert.match(users!, /href="\/audit"/);
    assert.match(users!, /New user/);
    assert.match(audit!, /^<div class="ccx is-frameless" lang="en"><div class="frame-main">/);
    assert.doesNotMatch(audit!, /<header|<main/);
    const [plan, seats, card] = row!.match(/<td role="cell" class="col-own">.*?<\/td>/g)!;
    assert.match(plan!, />pro</);
    assert.match(seats!, />none</);
    assert.match(card!, /<span class="foreign"><b>user_1<\/b><\/span>/);
    assert.match(columns!, /<th [^>]*class="col-own" style="width:80px">Plan<\/th>/);
    assert.match(columns!, /<span class="brand-name">Acme<\/span>/);
    assert.doesNotMatch(columns!, /New user/);
    assert.match(german!, /^<div class="ccx" lang="de-AT">/);
    assert.match(german!, />Übersicht<.*>Personen<.*>Neue Person</);
    assert.match(german!, />Audit log</, "a text that is not given is English");
    assert.match(numbers!, /^<div class="ccx" lang="en">/, "its texts are English");
    assert.match(numbers!, />12\u00a0345</);
    assert.match(numbers!, />24\.12\.2026, 17:00:00 UTC</);
    assert.deepEqual(actions, [["update", "role"], ["unlock"]]);
    assert.match(parts!, /<h2>It broke<\/h2><p>Not today\.<\/p>/);
  });
}
