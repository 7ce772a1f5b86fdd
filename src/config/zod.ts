/** zod, set before the first schema is made. */
import { z } from "zod";

z.config({ jitless: true }); // settings are read once: code made for that takes longer than it saves

export { z };
