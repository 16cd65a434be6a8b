import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/**
 * Makes `examples/employees.csv`, the same bytes each time. Run this file to write it:
 *
 *     npx tsx test/support/employees-csv.ts
 *
 * It holds what files from personnel departments hold: names in many scripts, quotes, commas and line breaks in fields, a byte
 * order mark, CRLF, blank lines, people listed twice and two rows that cannot be read.
 */

const EMPLOYEES = 2_100;
const BYTE_ORDER_MARK = "\u{feff}";
/** Every so many people, one is listed again: some right below, some far below. */
const LISTED_TWICE_EVERY = 35;
const BLANK_LINE_EVERY = 97;
/** Too few columns, and an id that is none. */
const BROKEN_ROWS = new Map([
  [811, '2507,"Lena Vogt"'],
  [1_733, "EMP-25O8,Chidi Okafor,chidi.okafor@example.org,Finance"],
]);

interface Script {
  readonly given: readonly string[];
  readonly family: readonly string[];
  /** How a full name is put together. */
  readonly join: (given: string, family: string) => string;
}

const givenFirst = (given: string, family: string) => `${given} ${family}`;
const familyFirst = (given: string, family: string) => `${family} ${given}`;
const familyComma = (given: string, family: string) => `${family}, ${given}`;
const together = (given: string, family: string) => `${family}${given}`;

const SCRIPTS: readonly Script[] = [
  // Latin
  {
    given: ["Zoë", "Łukasz", "Søren", "Inês", "François", "Jürgen", "Þóra", "Ağça", "Dušan", "Ștefan"],
    family: ["Müller", "Wójcik", "Ångström", "Gonçalves", "Lefèvre", "Öztürk", "Jónsdóttir", "Dvořák", "Țiriac", "Nuñez"],
    join: givenFirst,
  },
  {
    given: ["Siobhán", "Conor", "Ngọc Ánh", "Minh", "Ana", "Adwoa", "Tāne", "Kalena", "Emma", "Noah"],
    family: ["O'Brien", "D'Angelo", "Nguyễn", "Trần", "de la Cruz", "Owusu-Ansah", "Ngāti", "Kaʻiulani", "Smith", "Mbeki"],
    join: familyComma,
  },
  {
    given: ['William "Bill"', 'Margaret "Peggy"', 'José "Pepe"', 'Aleksandra "Ola"'],
    family: ["Turner", "Hughes", "Hernández", "Nowak"],
    join: givenFirst,
  },
  // Cyrillic
  {
    given: ["Анна", "Дмитрий", "Ольга", "Пётр", "Їванна", "Тарас", "Милица", "Георги"],
    family: ["Черных", "Живаго", "Шевченко", "Короленко", "Ґалаґан", "Щербак", "Петровић", "Пономаренко"],
    join: familyFirst,
  },
  // Greek
  {
    given: ["Ελένη", "Νίκος", "Σοφία", "Γιώργος"],
    family: ["Παπαδοπούλου", "Αγγελόπουλος", "Οικονόμου", "Βασιλείου"],
    join: givenFirst,
  },
  // Georgian
  { given: ["ნინო", "გიორგი"], family: ["ბერიძე", "კაპანაძე"], join: givenFirst },
  // Armenian
  { given: ["Անի", "Արամ"], family: ["Սարգսյան", "Հակոբյան"], join: givenFirst },
  // Chinese, one family name outside the basic plane
  { given: ["伟", "秀英", "娜", "建国", "雪"], family: ["王", "李", "张", "歐陽", "𠮷"], join: together },
  // Japanese
  { given: ["さくら", "太郎", "ハナ", "健一"], family: ["佐藤", "髙橋", "渡邊", "小鳥遊"], join: familyFirst },
  // Korean
  { given: ["서연", "민준", "지우", "하늘"], family: ["김", "이", "박", "선우"], join: together },
  // Arabic and Persian
  { given: ["فاطمة", "محمد", "لیلا", "کوروش"], family: ["الحسيني", "بن يوسف", "رضایی", "تهرانی"], join: givenFirst },
  // Hebrew
  { given: ["נועה", "יוסף", "תמר", "דוד"], family: ["כהן", "לוי", "בן־דוד", "מזרחי"], join: givenFirst },
  // Devanagari
  { given: ["प्रिया", "अर्जुन", "लक्ष्मी"], family: ["शर्मा", "कुलकर्णी"], join: givenFirst },
  // Bengali
  { given: ["সুমন", "রুবাইয়াত"], family: ["চট্টোপাধ্যায়", "হোসেন"], join: givenFirst },
  // Tamil
  { given: ["கவிதா", "முருகன்"], family: ["செல்வம்", "இளங்கோ"], join: givenFirst },
  // Thai
  { given: ["สมชาย", "ณัฐธิดา", "อรุณี"], family: ["ศรีสุข", "วงศ์สวัสดิ์", "แก้วมณี"], join: givenFirst },
];

const DEPARTMENTS = [
  "Engineering",
  "Finance",
  "Sales, EMEA",
  "Sales, APAC",
  'Research "Blue Sky"',
  "Legal, Risk & Compliance",
  "Customer Care\nBuilding 7, 2nd floor",
  "Müszaki osztály",
  "Логистика",
  "人事部",
  "Warehouse\r\nGate 4",
  'Marketing; formerly "Brand, Print"',
  "Kundenservice / Café",
  "الموارد البشرية",
];

interface Employee {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly department: string;
}

/** The file's text, byte order mark and all. */
export function employeesCsv(): string {
  const rows: string[] = [];
  const later = new Map<number, Employee>();
  for (let id = 1; id <= EMPLOYEES; id++) {
    const employee = employeeOf(id);
    rows.push(rowOf(employee));
    if (id % LISTED_TWICE_EVERY === 0) {
      const farBelow = id + 7 * LISTED_TWICE_EVERY + 3;
      const isFar = id % (LISTED_TWICE_EVERY * 2) !== 0 && farBelow <= EMPLOYEES;
      later.set(isFar ? farBelow : id, id % (LISTED_TWICE_EVERY * 3) === 0 ? moved(employee) : employee);
    }
    const again = later.get(id);
    if (again !== undefined) rows.push(rowOf(again));
    const broken = BROKEN_ROWS.get(id);
    if (broken !== undefined) rows.push(broken);
    if (id % BLANK_LINE_EVERY === 0) rows.push("");
  }
  return `${BYTE_ORDER_MARK}id,name,email,department\r\n${rows.join("\r\n")}\r\n\r\n`;
}

function employeeOf(id: number): Employee {
  const chance = chanceOf(id);
  const script = pick(SCRIPTS, chance());
  const name = script.join(pick(script.given, chance()), pick(script.family, chance()));
  const domain = chance() < 0.7 ? "example.com" : "mail.example.org";
  return { id, name, email: `e${String(id).padStart(5, "0")}@${domain}`, department: pick(DEPARTMENTS, chance()) };
}

/** The same person, listed by the department they moved to. */
function moved(employee: Employee): Employee {
  return { ...employee, department: "Engineering" };
}

function rowOf(employee: Employee): string {
  return [String(employee.id), employee.name, employee.email, employee.department].map(fieldOf).join(",");
}

function fieldOf(value: string): string {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

function pick<T>(values: readonly T[], fraction: number): T {
  const value = values[Math.floor(fraction * values.length)];
  if (value === undefined) throw new RangeError(`nothing to pick at ${fraction}`);
  return value;
}

/** Numbers in [0, 1), the same for the same seed (a multiply-and-xor-shift hash of a counter). */
function chanceOf(seed: number): () => number {
  let counter = seed * 7_919;
  return () => {
    counter = (counter + 0x9e37_79b9) | 0;
    let mixed = Math.imul(counter ^ (counter >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(new URL("../../examples/employees.csv", import.meta.url), employeesCsv());
}
