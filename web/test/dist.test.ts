import { describe, expect, test } from "vitest";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { noPublicCDN, slimWidgetApi } from "../build/plugins";

describe("build", () => {
  test("WG2 the public CDN is rewritten to our own origin", () => {
    const plugin = noPublicCDN() as unknown as { transform(code: string, id: string): { code: string } | null };
    const out = plugin.transform("x=`https://esm.sh/pkg`", "/n/@excalidraw/excalidraw/dist/prod/chunk.js");
    expect(out?.code).toBe("x=`${location.origin}/assets/excalidraw/pkg`");
  });
  test("WG6 the widget API's transport takes from modules what it took from the whole package, and the modules have it", () => {
    const require = createRequire(import.meta.url);
    const file = require.resolve("matrix-widget-api/lib/transport/PostmessageTransport.js");
    const plugin = slimWidgetApi() as unknown as { transform(code: string, id: string): { code: string } | null };
    const code = plugin.transform(readFileSync(file, "utf8"), file)?.code ?? "";
    const modules = new Map([...code.matchAll(/var (_part\d) = require\("\.\.\/([\w/]+)"\)/g)].map(([, part, from]) => [part!, from!]));
    const taken = [...code.matchAll(/\b(_part\d)\.(\w+)/g)].map(([, part, name]) => [modules.get(part!)!, name!] as const);
    expect([...new Set(taken.map(([, name]) => name))].sort()).toEqual(["WidgetApiResponseError", "WidgetApiToWidgetAction", "invertedDirection", "isErrorResponse"]);
    const whole = require("matrix-widget-api") as Record<string, unknown>;
    for (const [from, name] of taken) expect((require(`matrix-widget-api/lib/${from}.js`) as Record<string, unknown>)[name]).toBe(whole[name]);
  });
});
