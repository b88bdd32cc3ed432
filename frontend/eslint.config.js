import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

const layer = (files, forbidden) => ({
  files,
  rules: { "no-restricted-imports": ["error", { patterns: forbidden }] },
});

export default tseslint.config(
  { ignores: ["dist", "src/api/schema.d.ts"] },
  ...tseslint.configs.recommended,
  {
    plugins: { "react-hooks": hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "error",
    },
  },
  layer(["src/api/**", "src/config/**"], ["@/app/*", "@/features/*", "@/components/*"]),
  layer(["src/components/**"], ["@/app/*", "@/features/*"]),
  layer(["src/features/**"], ["@/app/*"]),
);
