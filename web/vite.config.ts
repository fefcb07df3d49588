import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { cleanDist, excalidrawFonts, noPublicCDN, precompress, slimWidgetApi } from "./build/plugins";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// One entry per page. The server finds the hashed names in dist/.vite/manifest.json.
const entries = ["src/entry/whiteboard.tsx", "src/entry/classroom.ts", "src/entry/classroom.tsx", "src/entry/integrations.tsx", "src/entry/call.tsx"].filter((e) => existsSync(at(e)));

const alias = [
  // The plain entry imports wasm as an ES module, which no build without a plugin can do. The slim entry takes a URL.
  { find: /^@automerge\/automerge$/, replacement: "@automerge/automerge/slim" },
  // 3 MiB of diagram layout that a school board does not need.
  { find: "@excalidraw/mermaid-to-excalidraw", replacement: at("build/mermaid-stub.ts") },
];

/**
 * Few files at start: what all pages in a client need before anything else ("base": no style, no words), a board without its editor (nothing in it may import the editor), React, and
 * the editor with the small parts that Excalidraw loads at once.
 * EIO257PC is Excalidraw's font subsetter (1.8 MB), wanted only by the export of SVG; test/budget.mjs notices when it slips in.
 */
function chunkOf(id: string): string | undefined {
  if (/vite\/preload-helper|node_modules\/(events\/|matrix-widget-api\/lib\/(WidgetApi\.|Symbols|interfaces\/|transport\/|models\/WidgetEventCapability))|src\/(ui\/(fill|store)|host\/\w+|link\/(session|backoff))\.ts$/.test(id)) return "base";
  if (/web\/src\/board\/(?!main|status|diagnostics|drawer|outline)[a-z]+\.ts$|web\/src\/(first|link|doc|wire)\b|src\/ui\/(i18n|messages)|node_modules\/cborg\//.test(id)) return "first"; // would else be drawn into the editor's
  if (/node_modules\/(react|react-dom|scheduler)\/|web\/src\/ui\/\w+\.tsx$/.test(id)) return "react";
  if (/web\/src\/board\/(Outline|Roles|Setup|SignIns|Versions|outline)\.tsx?$/.test(id)) return "dialogs"; // fetched when one is opened
  if (/node_modules\/(browser-fs-access|canvas-roundrect-polyfill)\/|@excalidraw\/excalidraw\/dist\/prod\/(index|chunk-(?!EIO257PC)[^/]+|locales\/percentages-[^/]+)\.(js|css)$|web\/src\/board\//.test(id)) return "board";
  return undefined;
}

export default defineConfig({
  base: "/",
  publicDir: false,
  esbuild: { jsx: "automatic", legalComments: "none" },
  resolve: { alias },
  plugins: [cleanDist(), noPublicCDN(), slimWidgetApi(), excalidrawFonts(), precompress()],
  worker: { format: "es" },
  assetsInclude: ["**/*.automerge"], // the genesis of a page
  build: {
    outDir: "dist",
    emptyOutDir: false, // cleanDist keeps dist/.keep, which Go's embed needs
    target: "es2022",
    manifest: true,
    assetsInlineLimit: 0, // no data: URLs for code or fonts, so that the content policy stays narrow
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2000,
    rollupOptions: { input: entries.map(at), output: { manualChunks: chunkOf } },
  },
  test: {
    include: ["test/**/*.test.ts", "src/**/*.test.ts"],
    environment: "node",
    testTimeout: 30_000, // several minutes of seeded editing, on machines that do other things as well
  },
});
