import { describe, expect, test } from "vitest";
import { noPublicCDN } from "../build/plugins";

describe("build", () => {
  test("WG2 the public CDN is rewritten to our own origin", () => {
    const plugin = noPublicCDN() as unknown as { transform(code: string, id: string): { code: string } | null };
    const out = plugin.transform("x=`https://esm.sh/pkg`", "/n/@excalidraw/excalidraw/dist/prod/chunk.js");
    expect(out?.code).toBe("x=`${location.origin}/assets/excalidraw/pkg`");
  });
});
