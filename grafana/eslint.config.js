import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // The SDK deprecates the classic schema in favour of v2, which Grafana 11 and most of 12 cannot provision from files.
      "@typescript-eslint/no-deprecated": "off",
      "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
    },
  },
  { files: ["**/*.js"], extends: [tseslint.configs.disableTypeChecked] },
  {
    files: ["tests/**"],
    // node:test answers a promise that nobody has to await.
    rules: { "@typescript-eslint/no-floating-promises": "off" },
  },
);
