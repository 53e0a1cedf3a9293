/** The log holds what this program cannot apply. The node stops: going on would part its state from the others'. Its message is the one line for the operator. */
export class HaltError extends Error {
  override readonly name = "HaltError";
}
