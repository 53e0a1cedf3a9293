import { COMMANDS_IN_ENTRY_MAX, isAlone } from "../metadata/entry.ts";

/** Beyond them an entry takes no further command. A longer one has an entry of its own. */
const GROUP_BYTES = 128 * 1024;

/** Cuts envelopes, in their order, into those that share an entry. */
export function groupsOf(envelopes: readonly Uint8Array[]): Uint8Array[][] {
  const groups: Uint8Array[][] = [];
  let group: Uint8Array[] = [];
  let sizeBytes = 0;
  for (const envelope of envelopes) {
    const alone = isAlone(envelope);
    if (group.length > 0 && (alone || group.length >= COMMANDS_IN_ENTRY_MAX || sizeBytes + envelope.byteLength > GROUP_BYTES)) {
      groups.push(group);
      group = [];
      sizeBytes = 0;
    }
    group.push(envelope);
    sizeBytes += envelope.byteLength;
    if (!alone) continue;
    groups.push(group);
    group = [];
    sizeBytes = 0;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}
