/** The form of those who must say who they are. */
import { useSignal } from "@preact/signals";
import { basicCredentials, credentials } from "../api.ts";
import { goTo, screen } from "../navigation.ts";
import { TEXTS } from "../texts.ts";

export function LogIn() {
  const user = useSignal("");
  const password = useSignal("");
  const submit = (event: Event): void => {
    event.preventDefault();
    credentials.value = basicCredentials(user.value, password.value);
    if (screen.value.kind === "login") goTo({ kind: "home" });
  };
  return (
    <form class="log-in" onSubmit={submit}>
      <h1>{TEXTS.logInTo}</h1>
      {credentials.value !== undefined && <p role="alert">{TEXTS.passwordIsWrong}</p>}
      <label>
        {TEXTS.user}
        <input
          name="user"
          autocomplete="username"
          required
          value={user}
          onInput={(event) => (user.value = event.currentTarget.value)}
        />
      </label>
      <label>
        {TEXTS.password}
        <input
          name="password"
          type="password"
          autocomplete="current-password"
          required
          value={password}
          onInput={(event) => (password.value = event.currentTarget.value)}
        />
      </label>
      <p class="muted">{TEXTS.keptHere}</p>
      <button type="submit">{TEXTS.logIn}</button>
    </form>
  );
}
