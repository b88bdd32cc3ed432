import { useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { signInMethodsQuery } from "@/api/queries";
import { Command, ErrorPanel, Loading } from "@/components/basics";
import { useWords } from "@/config/i18n";

export function SignIn() {
  const t = useWords();
  const { error } = useSearch({ from: "/sign-in" });
  const methods = useQuery(signInMethodsQuery);
  return (
    <main className="grid min-h-screen place-items-center p-6">
      <div className="panel w-full max-w-md p-8">
        <h1>Hekatoncheir</h1>
        {error && (
          <p role="alert" className="mt-3 text-bad">
            {t.refused}
          </p>
        )}
        {methods.isPending && <Loading />}
        {methods.error && <ErrorPanel error={methods.error} retry={() => void methods.refetch()} />}
        {methods.data?.methods.map((method) => (
          <form key={method.id} method="post" action={method.url} className="mt-4">
            <input type="hidden" name="csrfmiddlewaretoken" value={methods.data.csrf_token} />
            <button type="submit" className="button primary w-full justify-center">
              {t.signInWith} {method.name}
            </button>
          </form>
        ))}
        {methods.data?.link && (
          <div className="mt-4 space-y-3">
            <p className="text-muted">{t.linkHint}</p>
            <Command>make link</Command>
          </div>
        )}
      </div>
    </main>
  );
}
