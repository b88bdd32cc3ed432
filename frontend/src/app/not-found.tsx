import { Link } from "@tanstack/react-router";
import { useWords } from "@/config/i18n";

export function NotFoundPage() {
  const t = useWords();
  return (
    <div className="mx-auto max-w-lg p-10 text-center">
      <h1>404</h1>
      <p className="mt-2 text-muted">{t.notFound}</p>
      <Link to="/" className="button mt-4">
        {t.goHome}
      </Link>
    </div>
  );
}
