import { expect, test } from "vitest";
import { seededRandom } from "../core/random.ts";
import { type AppDouble, appDouble } from "./app-double.ts";
import { type FuzzRequest, fuzzRequest } from "./fuzz-requests.ts";
import type { HttpListener } from "./http.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import { listenHttp } from "./node-http/server.ts";
import { RawClient, type RawResponse } from "./raw-client.ts";

const COUNT = Number(process.env.ROADSTEAD_FUZZ ?? 1_500);
const FIRST_SEED = Number(process.env.ROADSTEAD_FUZZ_SEED ?? 1);
const PER_SEED = 250;

/** A request whose end was spoilt stands still: the limits are short, so that the server says so soon. */
const LIMITS = { ...DEFAULT_LIMITS, headMs: 60, bodyIdleMs: 30 };

function complaint(answer: RawResponse, isHead: boolean): string | undefined {
  if (answer.status === 500) return "it is a 500";
  if (answer.cut) return "its body is cut";
  if (!answer.headers.has("x-request-id")) return "it has no request id";
  if (answer.status < 400 || isHead) return undefined;
  if (answer.headers.get("content-type") !== "application/json") return "it is no JSON";
  try {
    const { errors } = JSON.parse(answer.body.toString()) as { errors: { code: unknown; message: unknown }[] };
    return typeof errors[0]?.code === "string" && typeof errors[0].message === "string" ? undefined : "its JSON is not the spec's";
  } catch {
    return "its JSON does not parse";
  }
}

class Run {
  readonly #app: AppDouble;
  readonly #listener: HttpListener;
  readonly #seed: number;
  #client: RawClient | undefined;
  answered = 0;

  constructor(app: AppDouble, listener: HttpListener, seed: number) {
    this.#app = app;
    this.#listener = listener;
    this.#seed = seed;
  }

  async ask(request: FuzzRequest): Promise<void> {
    if (request.spoilt) this.close();
    this.#client ??= await RawClient.open(this.#listener.port);
    this.#client.send(request.bytes);
    let answer = await this.#client.answer(request.isHead);
    while (answer?.status === 100) answer = await this.#client.answer(request.isHead);
    if (answer !== undefined) {
      this.answered += 1;
      const wrong = complaint(answer, request.isHead);
      if (wrong !== undefined) this.#report(request, `${wrong}: ${answer.status} ${answer.body.toString().slice(0, 300)}`);
    } else if (!request.spoilt) {
      this.#report(request, "there is no answer");
    }
    const defect = this.#app.log.lines.find(({ level }) => level === "error");
    if (defect !== undefined) this.#report(request, `a defect was logged: ${String(defect.fields.err)}`);
    if (request.spoilt || answer?.headers.get("connection") === "close") this.close();
  }

  close(): void {
    this.#client?.destroy();
    this.#client = undefined;
  }

  #report(request: FuzzRequest, what: string): never {
    throw new Error(
      `seed ${this.#seed}, after ${this.answered} answers: ${what}\nrequest: ${JSON.stringify(request.bytes.toString("latin1"))}`,
    );
  }
}

test(`http-rule 26, 27: of ${COUNT} requests that break the rules none is a 500, and each refusal is the spec's JSON`, async () => {
  let answered = 0;
  for (let seed = FIRST_SEED; (seed - FIRST_SEED) * PER_SEED < COUNT; seed += 1) {
    const app = appDouble({ accessLog: "failures" });
    const random = seededRandom(seed);
    app.registry.addBlob("team/app", Buffer.from("fuzz"));
    const listener = await listenHttp(app.handler, { host: "127.0.0.1", port: 0, limits: LIMITS, log: app.log, random });
    const run = new Run(app, listener, seed);
    const count = Math.min(PER_SEED, COUNT - (seed - FIRST_SEED) * PER_SEED);
    for (let index = 0; index < count; index += 1) await run.ask(fuzzRequest(random, [...app.registry.uploads.keys()].slice(-5)));
    run.close();
    answered += run.answered;
    await listener.close(0);
  }
  expect(answered).toBeGreaterThan(COUNT * 0.9);
}, 600_000);
