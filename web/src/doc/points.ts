/** Points of strokes and lines: x and y in turn, each the zig-zag difference to the value before in 1/8 px as LEB128 (crdt/schema, format "points"). */

export type Point = readonly [number, number];

export function packPoints(points: readonly Point[]): Uint8Array {
  const out: number[] = [];
  let px = 0;
  let py = 0;
  const put = (n: number) => {
    let z = n < 0 ? -n * 2 - 1 : n * 2;
    while (z > 127) {
      out.push((z % 128) | 128);
      z = Math.floor(z / 128);
    }
    out.push(z);
  };
  for (const [x, y] of points) {
    const qx = Math.round(x * 8);
    const qy = Math.round(y * 8);
    put(qx - px);
    put(qy - py);
    [px, py] = [qx, qy];
  }
  return Uint8Array.from(out);
}

/** Undefined when the bytes are not whole points: they come from other people. */
export function unpackPoints(bytes: Uint8Array): [number, number][] | undefined {
  const points: [number, number][] = [];
  let i = 0;
  let px = 0;
  let py = 0;
  const get = (): number => {
    let scale = 1;
    let z = 0;
    for (let n = 0; n < 7; n++) {
      const c = bytes[i++];
      if (c === undefined) return NaN;
      z += (c & 127) * scale;
      if (c < 128) return z % 2 ? -(z + 1) / 2 : z / 2;
      scale *= 128;
    }
    return NaN;
  };
  while (i < bytes.length) {
    px += get();
    py += get();
    if (Number.isNaN(px) || Number.isNaN(py)) return undefined;
    points.push([px / 8, py / 8]);
  }
  return points.length > 0 ? points : undefined;
}
