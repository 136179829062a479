import convex from "@convex-dev/eslint-plugin";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["**/_generated/**"] },
  ...tseslint.configs.recommended,
  ...convex.configs.recommended,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Validators' type parameters: Convex's own types are written with any.
      "@typescript-eslint/no-explicit-any": "off",
      // What a validator or a check before it guarantees.
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-floating-promises": "error",
    },
  },
);
