import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import { engineConformance } from "../engine.conformance.ts";
import { listenHttp } from "./server.ts";

engineConformance("node:http", (handler, limits) =>
  listenHttp(handler, { host: "127.0.0.1", port: 0, limits, log: silentLog, random: seededRandom(1) }),
);
