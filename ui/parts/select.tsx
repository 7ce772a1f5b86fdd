/** A choice of one value, with its label. */
export function Select<Value extends string>(parts: {
  readonly label: string;
  /** Values and their texts. */
  readonly options: Readonly<Record<Value, string>>;
  readonly value: string;
  readonly onChange: (chosen: Value) => void;
}) {
  return (
    <label class="select">
      {parts.label}
      <select value={parts.value} onChange={(event) => parts.onChange(event.currentTarget.value as Value)}>
        {Object.entries<string>(parts.options).map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
