import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import { en, type Words } from "./words-en";
import { ja } from "./words-ja";

/** Both dictionaries have the same keys: a missing one does not compile. */
export const dictionaries: Record<Language, Words> = { en, ja };
export type Language = "en" | "ja";
const KEY = "hekaton.language";

export function readLanguage(): Language {
  const kept = localStorage.getItem(KEY);
  if (kept === "en" || kept === "ja") return kept;
  return navigator.language.startsWith("ja") ? "ja" : "en";
}

interface Value {
  t: Words;
  language: Language;
  setLanguage: (language: Language) => void;
}

const Context = createContext<Value>({ t: en, language: "en", setLanguage: () => undefined });

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, set] = useState<Language>(readLanguage);
  const value = useMemo<Value>(() => {
    document.documentElement.lang = language;
    return {
      t: dictionaries[language],
      language,
      setLanguage: (next) => {
        localStorage.setItem(KEY, next);
        set(next);
      },
    };
  }, [language]);
  return <Context value={value}>{children}</Context>;
}

/** The words of the chosen language. */
export function useWords(): Words {
  return useContext(Context).t;
}

export function useLanguage(): Value {
  return useContext(Context);
}
