#!/usr/bin/env python3
"""Writes list.txt: common passwords of 15 characters and more, one a line, case-folded and sorted.

Lists of leaked passwords hardly have any that long, and none whose licence is clear. People who need a longer one make it
from what they know: a word that they use already with digits behind it, the same word twice, a name in a sentence, a walk
over the keyboard. Those are made here, the same ones each time: ./generate.py > list.txt
"""

MIN_CHARS = 15

WORDS = """
password passwort passw0rd p@ssword p@ssw0rd pass secret letmein welcome login admin administrator root user guest master
access changeme default temporary temp test testing demo sample example computer internet network server service system
support helpdesk office company business manager customer security private personal account sunshine monkey dragon
princess football baseball basketball soccer hockey tennis cricket superman batman spiderman pokemon starwars shadow
killer hunter ranger soldier warrior knight wizard phoenix tiger lion eagle falcon panther jaguar leopard dolphin
butterfly flower rainbow summer winter spring autumn january february march april june july august september october
november december monday tuesday wednesday thursday friday saturday sunday morning evening chocolate cookie coffee
cheese banana orange apple cherry peaches strawberry pumpkin pepper ginger cinnamon sugar honey sweetheart darling
lover forever together always beautiful gorgeous diamond silver golden purple yellow orange black white green blue
mustang ferrari porsche corvette mercedes yamaha honda toyota chelsea arsenal liverpool barcelona realmadrid juventus
london paris berlin madrid newyork chicago boston dallas denver houston america england germany france canada australia
freedom liberty justice victory trustno1 whatever nothing something everything iloveyou loveyou loveme loveyourself
jesus jesuschrist heaven angel blessed faith family mother father brother sister daughter children babygirl babyboy
guitar music dancing singing hiphop metallica nirvana slipknot linkinpark eminem rockstar superstar champion winner
money million lottery casino poker gambler pirate captain sailor cowboy redskins steelers cowboys yankees lakers packers
qwerty qwertyuiop asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx 1qaz2wsx q1w2e3r4 azerty abc123 abcdef abcd1234 hello hellothere
goodbye goodluck goodmorning happy happiness smile laughing crazy awesome amazing perfect special number one trouble
corporate project database developer engineer teacher student doctor nurse lawyer police fireman pilot driver
""".split()

NAMES = """
james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony mark donald
steven paul andrew joshua kenneth kevin brian george timothy ronald edward jason jeffrey ryan jacob gary nicholas eric
jonathan stephen larry justin scott brandon benjamin samuel gregory alexander patrick frank raymond jack dennis jerry
tyler aaron jose adam nathan henry zachary douglas peter kyle noah ethan jeremy christian walter keith austin roger terry
sean gerald carl harold dylan arthur lawrence jordan jesse bryan billy bruce gabriel joe logan alan juan albert willie
elijah wayne randy vincent mason roy ralph bobby russell bradley philip eugene mary patricia jennifer linda elizabeth
barbara susan jessica sarah karen lisa nancy betty sandra margaret ashley kimberly emily donna michelle carol amanda
melissa deborah stephanie rebecca sharon laura cynthia dorothy amy kathleen angela shirley emma brenda pamela nicole anna
samantha katherine christine helen debra rachel carolyn janet maria catherine heather diane olivia julie joyce victoria
ruth virginia lauren kelly christina joan evelyn judith andrea hannah megan cheryl jacqueline martha madison teresa gloria
sara janice ann kathryn abigail sophia frances jean alice judy isabella julia grace amber denise danielle marilyn beverly
charlotte natalie theresa diana brittany doris kayla alexis lori marie carlos miguel fernando alejandro francisco sofia
valentina camila lucia mohamed ahmed fatima yusuf omar ali ivan dmitri natasha olga sergei vladimir hans klaus stefan
sabine claudia pierre francois giovanni marco giulia francesca luca hiroshi yuki kenji wei ming raj priya arjun ananya
""".split()

PETS_AND_PEOPLE = """
mom dad mother father brother sister wife husband son daughter family baby boyfriend girlfriend friend friends bestfriend
dog cat puppy kitty horse rabbit hamster boss job school teacher church country city team car bike house home garden life
world music money coffee chocolate pizza beer wine football soccer baseball basketball golf hockey summer winter
""".split()

PHRASES = """
thisismypassword thisisapassword thisismynewpassword thisisnotapassword thisismysecretpassword mypasswordis mypasswordispassword
iforgotmypassword idontknowmypassword donthackmeplease pleaseletmein letmeinplease openthedoorplease opensesameopensesame
correcthorsebatterystaple correcthorsebattery thequickbrownfox thequickbrownfoxjumps thequickbrownfoxjumpsoverthelazydog
tobeornottobe tobeornottobethatisthequestion maytheforcebewithyou ihaveadream toinfinityandbeyond winteriscoming
onceuponatime happilyeverafter welcometothejungle stairwaytoheaven hotelcalifornia bohemianrhapsody letitbeletitbe
allyouneedislove dontstopbelieving wearethechampions jesuslovesme jesusismylord godisgood godisgoodallthetime ingodwetrust
godblessamerica inthenameofgod trustinthelord ilovejesuschrist praisethelord thankyoujesus thankyouverymuch
ilovemyself ilovemyselfalways iloveyousomuch iloveyouforever iloveyouverymuch iloveyoumorethananything iloveyoubaby
ihateyousomuch ihatemyjob ihatepasswords ihatethispassword whatismypassword whatsmypassword nopasswordneeded
passwordpassword passwordpasswordpassword secretpassword newpassword1 changethispassword changemenow changemeplease
passwordforwork workpassword companypassword adminpassword administratorpassword rootpassword testpassword
supersecretpassword verysecretpassword verystrongpassword strongpassword longpassword averylongpassword
areallylongpassword fifteencharacters sixteencharacter minimumfifteen atleastfifteencharacters mysuperlongpassword
""".split()

ROWS = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "qwertzuiop"]
COLUMNS = ["1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/"]
TAILS = ["1", "12", "123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890", "0000", "00000",
         "1111", "11111", "111111", "11111111", "321", "4321", "54321", "654321", "987654321", "007", "420", "666", "777",
         "69", "99", "01", "007007", "123123", "123123123", "112233", "121212", "102030"]
YEARS = ["1984", "1990", "2000", "2010", "2020", "2023", "2024", "2025", "2026", "2027"]


def sentences():
    for noun in PETS_AND_PEOPLE + NAMES:
        for pattern in ("ilove{}", "ilovemy{}", "iloveyou{}", "ilove{}forever", "ilove{}somuch", "ilove{}verymuch",
                        "imissyou{}", "imissmy{}", "ihate{}", "ihatemy{}", "mylove{}", "mysweet{}", "mybeautiful{}",
                        "mynameis{}", "hello{}", "hellomynameis{}", "iam{}", "thebest{}", "{}isthebest", "{}isawesome",
                        "{}ismylife", "{}ismylove", "{}andme", "{}andmeforever", "{}forever", "{}password", "password{}",
                        "{}loves{}", "{}and{}"):
            yield pattern.format(noun, noun)


def walks():
    for row in ROWS:
        for way in (row, row[::-1]):
            yield from (way * times for times in range(2, 7))
            yield from ((way * 3)[:length] for length in range(MIN_CHARS, 21))
            yield from (way + other for other in ROWS)
            yield from (way + other[::-1] for other in ROWS)
    for count in range(3, 9):
        for first in range(len(COLUMNS) - count + 1):
            walk = COLUMNS[first:first + count]
            yield "".join(walk)
            yield "".join(part[::-1] for part in walk)
            yield "".join(part if at % 2 == 0 else part[::-1] for at, part in enumerate(walk))
            yield "".join(reversed(walk))
    letters = "abcdefghijklmnopqrstuvwxyz"
    for run in (letters, letters[::-1], "01234567890123456789", "98765432109876543210"):
        yield from (run[:length] for length in range(MIN_CHARS, len(run) + 1))
    yield from (char * length for char in letters + "0123456789" for length in range(MIN_CHARS, 25))


def doubled():
    for word in WORDS + NAMES:
        yield from (word * times for times in range(2, 6))
        for tail in TAILS[:10] + ["", "and", "my", "the"]:
            yield word + tail + word + tail


def with_digits():
    """What is cut off before comparing is left to one entry a word; digits in between stay."""
    for word in WORDS + NAMES:
        tail = next(tail for tail in sorted(TAILS, key=len) + ["123456789012345"] if len(word + tail) >= MIN_CHARS)
        yield word + tail
        for digits in ("123", "1234", "12345", "123456"):
            yield digits + word + digits
        for year in YEARS:
            yield word + year + word


def pairs():
    common = ["password", "welcome", "admin", "secret", "iloveyou", "letmein", "sunshine", "princess", "football", "qwerty"]
    for first in common:
        for second in WORDS + NAMES:
            yield first + second
            yield second + first


def main():
    made = set(PHRASES)
    for source in (sentences, walks, doubled, pairs):
        made.update(source())
    long = {text.casefold() for text in made if MIN_CHARS <= len(text) <= 40}
    long.update(text.casefold() for text in with_digits() if MIN_CHARS <= len(text) <= 24 and not text[-4:].isdigit())
    long.update(text.casefold() for text in with_digits() if len(text) == MIN_CHARS)
    print("\n".join(sorted(long, key=lambda text: text.encode())))


if __name__ == "__main__":
    main()
