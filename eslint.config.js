import convex from "@convex-dev/eslint-plugin";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
  // The fixtures are what teams may write, not what we would; the peers are written as their documentation has it.
  { ignores: ["**/_generated/**", "tests/local/convex/backend/fixture/**", "benchmarks/peers/**", "react/dist/**", "**/.next/**", "**/next-env.d.ts"] },
  ...tseslint.configs.recommended,
  ...convex.configs.recommended,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Validators' type parameters: Convex's own types are written with any.
      "@typescript-eslint/no-explicit-any": "off",
      // What a validator or a check before it guarantees.
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-floating-promises": [
        "error",
        // node:test awaits its tests itself.
        { allowForKnownSafeCalls: [{ from: "package", name: ["test", "suite"], package: "node:test" }] },
      ],
    },
  },
  { files: ["examples/dashboard/src/**", "examples/nextjs/**", "react/src/**"], ...reactHooks.configs.flat.recommended },
);
