import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["cdk.out", "test/fake-aws.mjs"] },
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  { languageOptions: { parserOptions: { projectService: true } } },
  { files: ["**/*.js"], extends: [tseslint.configs.disableTypeChecked] },
  {
    files: ["lib/**"],
    // The library has enums of plain numbers (days of retention) that settings hold as numbers.
    rules: { "@typescript-eslint/no-unsafe-enum-assignment": "off" },
  },
  {
    files: ["test/**"],
    // node:test answers a promise that nobody has to await.
    rules: { "@typescript-eslint/no-floating-promises": "off" },
  },
);
