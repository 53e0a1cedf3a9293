import { array, assert as check, integer, oneof, property, record } from "fast-check";
import { expect, test } from "vitest";
import { Inflights } from "./inflights.ts";

const step = oneof(
  record({ add: integer({ min: 1, max: 3 }), bytes: integer({ min: 0, max: 9 }) }),
  record({ free: integer({ min: 0, max: 60 }) }),
);

test("the window counts what was sent and not acknowledged, and is full by messages or by bytes", () => {
  check(
    property(integer({ min: 1, max: 12 }), integer({ min: 1, max: 40 }), array(step, { maxLength: 60 }), (messagesMax, bytesMax, steps) => {
      const window = new Inflights(messagesMax, bytesMax);
      let model: { readonly index: number; readonly bytes: number }[] = [];
      let last = 0;
      for (const each of steps) {
        if ("free" in each) {
          window.freeThrough(each.free);
          model = model.filter(({ index }) => index > each.free);
        } else if (!window.full) {
          last += each.add;
          window.add(last, each.bytes);
          model.push({ index: last, bytes: each.bytes });
        }
        const bytes = model.reduce((sum, message) => sum + message.bytes, 0);
        expect(window.count).toBe(model.length);
        expect(window.full).toBe(model.length >= messagesMax || bytes >= bytesMax);
      }
      window.reset();
      expect([window.count, window.full]).toEqual([0, false]);
    }),
  );
});
