/** The little that a carrier of changes reads of them. A chunk: 4 bytes magic, the first 4 of its hash, type, length, dependencies, actor, … */

/** Whether this is the change with that hash (32 bytes): the first four of them stand in its header. */
export function hasHash(chunk: Uint8Array, hash: Uint8Array): boolean {
  return chunk.length >= 8 && hash.length >= 4 && [0, 1, 2, 3].every((i) => chunk[4 + i] === hash[i]);
}

/** The actor (hex) that a plain change chunk was made under; "" when it is no such chunk. */
export function authorOf(chunk: Uint8Array): string {
  let at = 9;
  const number = () => {
    let n = 0;
    for (let shift = 1; ; shift *= 128) {
      const c = chunk[at++] ?? 0;
      n += (c & 127) * shift;
      if (c < 128) return n;
    }
  };
  number(); // length
  const dependencies = number();
  at += 32 * dependencies;
  const length = number();
  return hex(chunk.subarray(at, at + length));
}

export const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
