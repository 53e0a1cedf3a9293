import { json } from "./answers.ts";
import type { HttpResponse } from "./http.ts";

/** Distribution-spec 1.1, "Determining Support". */
export function answerBase(): HttpResponse {
  return json(200, {});
}
