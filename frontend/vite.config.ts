import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const portal = process.env.PORTAL_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  build: { target: "es2022", modulePreload: { polyfill: false } },
  server: {
    proxy: Object.fromEntries(["/api", "/auth", "/sign-in/link", "/static"].map((path) => [path, portal])),
  },
  test: { environment: "jsdom", globals: true, setupFiles: ["src/testing/setup.ts"] },
} as Parameters<typeof defineConfig>[0]);
