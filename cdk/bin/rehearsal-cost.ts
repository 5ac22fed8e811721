/** What a rehearsal (`make rehearse`) may cost at most, one line each. */
import { rehearsalItems, total } from "../lib/cost.ts";

const items = rehearsalItems();
console.log(`at most ${total(items).toFixed(2)} dollars at list prices of us-east-1:`);
for (const { item, dollars } of items) console.log(`  ${dollars.toFixed(2).padStart(6)}  ${item}`);
