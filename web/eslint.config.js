import tseslint from "typescript-eslint";

/** The direction of imports: entry -> widget folders -> doc, link, host, ui -> wire. Each ban names its reason. */
const bans = {
  wire: [{ group: ["../*"], message: "wire knows frames only" }],
  doc: [{ group: ["../link/*", "../host/*", "../board/*", "../ui/*", "../classroom/*", "react", "react-dom*"], message: "doc has no DOM, no sockets" }],
  link: [{ group: ["../doc/*", "../host/*", "../board/*", "../ui/*", "../classroom/*", "react", "react-dom*"], message: "link has no document knowledge" }],
  host: [{ group: ["../doc/*", "../link/*", "../board/*", "../classroom/*", "react", "react-dom*"], message: "host starts before anything heavy" }],
  ui: [{ group: ["../doc/*", "../link/*", "../host/*", "../board/*", "../classroom/*"], message: "ui knows no widget" }],
  board: [{ group: ["matrix-widget-api", "matrix-js-sdk*", "../classroom/*"], message: "only host and classroom speak to Matrix" }],
  call: [{ group: ["matrix-widget-api", "matrix-js-sdk*", "../board/*", "../doc/*", "../first/*", "../classroom/*"], message: "the call page is small: no board, no Matrix of its own" }],
  classroom: [{ group: ["../board/*", "../doc/*", "../link/*"], message: "the classroom hosts widgets; it is not one" }],
  integrations: [{ group: ["matrix-js-sdk*", "../board/*", "../doc/*", "../link/*", "../classroom/matrix"], message: "the client around the page speaks to Matrix" }],
};

export default tseslint.config(
  { ignores: ["dist", "node_modules"] },
  ...tseslint.configs.recommended,
  {
    files: ["src/**/*.{ts,tsx}", "test/**/*.ts", "build/**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { attributes: false } }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-alert": "error", // dead in a host's sandboxed iframe
      "no-console": ["error", { allow: ["warn", "error"] }],
      eqeqeq: "error",
    },
  },
  ...Object.entries(bans).map(([folder, patterns]) => ({
    files: [`src/${folder}/**/*.{ts,tsx}`],
    rules: { "no-restricted-imports": ["error", { patterns }] },
  })),
);
