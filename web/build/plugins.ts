/** Build steps of our own: what Vite does not do and the content policy or the Go server needs. */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";
import type { Plugin } from "vite";

const web = fileURLToPath(new URL("..", import.meta.url));
const dist = join(web, "dist");

/** Empties dist but for .keep: Go's embed refuses an empty folder, so .keep is committed. */
export function cleanDist(): Plugin {
  return {
    name: "lectern-clean-dist",
    apply: "build",
    buildStart() {
      mkdirSync(dist, { recursive: true });
      for (const name of readdirSync(dist)) if (name !== ".keep") rmSync(join(dist, name), { recursive: true });
      if (!existsSync(join(dist, ".keep"))) writeFileSync(join(dist, ".keep"), "");
    },
  };
}

/**
 * Excalidraw appends a public CDN as the last source of every font face. Nothing is fetched from it while the first source works, but
 * the browser logs one policy violation per face (230 on each load), and a missing font would call out. The fallback becomes our own origin.
 */
export function noPublicCDN(): Plugin {
  return {
    name: "lectern-no-public-cdn",
    enforce: "pre",
    transform(code, id) {
      if (!id.includes("@excalidraw/excalidraw/dist") || !code.includes("https://esm.sh/")) return null;
      return { code: code.replaceAll("https://esm.sh/", "${location.origin}/assets/excalidraw/"), map: null };
    },
  };
}

/** What the widget API's transport takes from the whole package, and the module that has it. */
const TRANSPORT_NEEDS: Readonly<Record<string, string>> = {
  invertedDirection: "interfaces/WidgetApiDirection",
  WidgetApiToWidgetAction: "interfaces/WidgetApiAction",
  isErrorResponse: "interfaces/IWidgetApiErrorResponse",
  WidgetApiResponseError: "WidgetApi",
};

/** The widget API's transport requires the whole package, the client's half (100 kB) among it. It gets the modules it needs, so that widget pages carry their own half only. */
export function slimWidgetApi(): Plugin {
  return {
    name: "lectern-slim-widget-api",
    enforce: "pre",
    transform(code, id) {
      if (!id.endsWith("matrix-widget-api/lib/transport/PostmessageTransport.js")) return null;
      const modules = [...new Set(Object.values(TRANSPORT_NEEDS))];
      const requires = modules.map((m, i) => `var _part${i} = require("../${m}");`).join("\n");
      const slim = code.replace('var _ = require("..");', requires).replace(/\b_\.(\w+)/g, (_, name: string) => {
        const i = modules.indexOf(TRANSPORT_NEEDS[name] ?? "");
        if (i < 0) throw new Error(`matrix-widget-api's transport uses ${name}: where is it?`);
        return `_part${i}.${name}`;
      });
      if (slim.includes('require("..")')) throw new Error("matrix-widget-api has changed: look at what its transport requires");
      return { code: slim, map: null };
    },
  };
}

/** Fonts under /assets/excalidraw/fonts, where EXCALIDRAW_ASSET_PATH points. Xiaolai (CJK, 13 MB) is left out: such text uses the system's font. */
export function excalidrawFonts(): Plugin {
  return {
    name: "lectern-fonts",
    apply: "build",
    writeBundle() {
      const from = join(web, "node_modules/@excalidraw/excalidraw/dist/prod/fonts");
      for (const family of readdirSync(from)) {
        if (family !== "Xiaolai") cpSync(join(from, family), join(dist, "assets/excalidraw/fonts", family), { recursive: true });
      }
    },
  };
}

const brotli = promisify(brotliCompress);

/** Writes name.br beside every text or wasm file of 1 KiB or more that shrinks. Results are cached by content: level 11 on wasm takes seconds. */
export function precompress(): Plugin {
  return {
    name: "lectern-precompress",
    apply: "build",
    enforce: "post",
    async closeBundle() {
      const cache = join(web, "node_modules/.cache/lectern-brotli");
      mkdirSync(cache, { recursive: true });
      const assets = join(dist, "assets");
      if (!existsSync(assets)) return; // the build failed before writing
      for (const name of readdirSync(assets)) {
        if (!/\.(js|css|wasm|svg|json)$/.test(name)) continue;
        const bytes = readFileSync(join(assets, name));
        if (bytes.length < 1024) continue;
        const kept = join(cache, createHash("sha256").update(bytes).digest("hex"));
        if (!existsSync(kept)) {
          const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
          writeFileSync(kept, await brotli(bytes, { params }));
        }
        const packed = readFileSync(kept);
        if (packed.length < bytes.length * 0.95) writeFileSync(join(assets, `${name}.br`), packed);
      }
    },
  };
}
