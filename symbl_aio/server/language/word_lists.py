"""English word lists of the rules, in lower case."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that are no topic: grammar, politeness, and verbs that occur in every meeting.
STOP_WORDS = word_set("""
    a about above actually after again against ago agree all almost already alright also always am
    an and another any anybody anyone anything are around as ask asked asking at away back be became
    because been before being believe best better between big bit both but by bye call called can
    cannot case check come comes coming could couple course day days did different do does doing
    done down each either else end enough even ever every everybody everyone everything exactly few
    find fine first five for four from full further gave get gets getting give given go goes going
    gonna good got great guess guys had happen happened happy has have having he hear heard hello
    help her here hers herself hey hi him himself his hour hours how however i if in instead into is
    it its itself just keep kept kind knew know known last later least left less let lets like
    likely little long look looked looking lot lots made main make makes making many may maybe me
    mean means meant might mine minute minutes month months more morning most much must my myself
    name near need needed needs never new next nice no none nope nor not nothing now number of off
    often oh ok okay old on once one ones only or other others our ours ourselves out over own part
    people perfect perhaps person place please plus point possible pretty probably put quick quickly
    quite rather ready real really right said same saw say saying says second see seem seems seen
    send sending sent set several shall she should show side since six small so some somebody
    someone something soon sorry sort start started still stuff such sure take taken takes taking
    talk talked talking tell ten than thank thanks that the their theirs them themselves then there
    these they thing things think thinking third this those though thought three through time times
    to today together told tomorrow tonight too took total true try trying turn two uh um under
    understand until up upon us use used using usually very wait want wanted wants was way we week
    weeks welcome well went were what whatever when where whether which while who whole whom whose
    why will wish with within without won wonder wondering word words work worked working works
    would wow wrong yeah year years yep yes yesterday yet you your yours yourself yourselves
    monday tuesday wednesday thursday friday saturday sunday afternoon evening noon midnight
    able add added adding anyway basically book bring brought change changed create cut definitely
    depend depends draft email finish finished fix fixed follow hold hope hopefully invite join
    leave listen move moved open pay phone pick prepare propose read remind reminder review run
    running schedule scheduled share shared spend stop submit suggest supposed test tested update
    updated wrote write writing mention mentioned mister mr mrs ms dr
    agenda meeting item items slide slides regards sincerely dear cheers lol haha thx pls
    ah aha eh er erm ha hm hmm huh mhm mm mmm mm-hmm mm-hm uh-huh uh-oh yup nah nope oops wow
    percent percentage dollar dollars euro euros
    basically actually obviously exactly absolutely totally literally honestly simple kindly guy
""")

# Filler words at the start of a sentence.
FILLER_WORDS = word_set("""
    ah alas alright also and anyway actually basically because but fine good great hello hey hi hmm
    honestly instead listen look maybe meanwhile morning no now oh oho ok okay oops or perfect
    perhaps plus really right so sorry still sure thanks then though uh um wait well wow yeah yep
    yes yup
""")
FILLER_PHRASES = frozenset(
    {"i mean", "you know", "i guess", "i think", "i suppose", "i believe", "of course", "all right"}
)

# Sounds that are left out of a sentence before it is examined.
HESITATIONS = word_set("uh um er erm hm hmm mm mhm ah eh uh-huh mm-hmm mm-hm")

# Spoken and chat forms, written out.
SHORT_FORMS = {
    "gonna": "going to",
    "gotta": "got to",
    "wanna": "want to",
    "lemme": "let me",
    "cuz": "because",
    "cause": "because",
    "pls": "please",
    "plz": "please",
    "u": "you",
    "ur": "you are",
    "im": "i am",
    "ill": "i will",
    "can't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "let's": "let us",
    "lets": "let us",
    "kindly": "please",
}

PRONOUNS = word_set("i we you he she they it there that this")

# Words that begin a clause. What follows a condition is no promise; those of the second
# line open a clause only before its subject: "before Monday" is a time.
CONDITIONS = word_set("""
    if when whenever what whatever how where which whether who whose why unless than wish
    until till once while since as after before
""")
CLAUSE_OPENERS = (
    CONDITIONS - word_set("until till once while since as after before than")
) | word_set("but so because although though")

NEGATIONS = word_set("""
    not no never nothing none nobody hardly without cannot isn't aren't wasn't weren't don't doesn't
    didn't won't wouldn't can't couldn't shouldn't haven't hasn't hadn't ain't
""")

GOOD_WORDS = word_set("""
    agree amazing amiable appreciate appreciated awesome beautiful benefit best better brilliant
    celebrate clear comfortable confident congratulations correct delighted easy effective efficient
    enjoy enjoyed excellent excited exciting fantastic fast favorite fine fixed friendly fun glad
    good gorgeous great happy helped helpful hope hopeful impressed impressive improve improved
    improvement interesting joy kind liked love loved lovely lucky nice outstanding perfect
    pleasant pleased pleasure positive productive progress promising proud reliable resolved
    respectable safe satisfied smart smooth solid solved strong succeed success successful super
    superb support terrific thank thanks thrilled useful valuable welcome win winning wonderful
    working worth yay
""")

BAD_WORDS = word_set("""
    afraid angry annoyed annoying awful bad bother broke broken bug cancel cancelled complain
    complaint concern concerned concerns confused confusing crash crashed crashes damage damaged
    dead defect delay delayed delays difficult disappointed disappointing disappointment disaster
    dislike error errors expensive fail failed failing fails failure fear frustrated frustrating
    hard hate hated horrible hurt impossible incorrect issue issues late lose losing loss lost
    mistake negative nightmare outage pain painful poor problem problems refund refuse reject
    rejected sad scared selfish slow sorry struggle struggling stuck stupid terrible threat tired
    trouble ugly unable unacceptable unclear unfortunately unhappy unreliable unsafe upset urgent
    useless waste weak worried worry worse worst wrong
""")

STRONG_WORDS = word_set("""
    amazing awesome awful best brilliant disaster excellent fantastic hate horrible love nightmare
    outstanding perfect superb terrible terrific unacceptable wonderful worst
""")

INTENSIFIERS = word_set("absolutely completely extremely incredibly really so super totally very")

# Verbs after "I will" that promise no task.
NON_TASK_VERBS = word_set("""
    admit agree apologise apologize appreciate argue assume be become begin believe belong bet
    care cease come consider continue cost cry deserve die disagree discuss doubt enjoy exist
    expect explain fall feel fight forget go grow guess happen hate have hear hold hope hurt
    imagine interrupt introduce jump keep kick know laugh learn leave let like listen live look
    lose love mean mention miss move must need notice pass prefer pretend prove rain realise
    realize recall recognize remain repeat rest retire say see seem show sit sleep sound spare
    speak stand start stay stick stop suffer suggest suppose talk tell think trust try
    understand vary vote wait walk want win wish wonder worry
""")

# Verbs after "can you" that ask for an answer, not for a task.
ANSWER_VERBS = word_set("""
    afford believe change confirm describe elaborate explain give guess handle help imagine
    manage name pass reach show spell swallow take use
""")

# Verbs of work: what follows them can be ticked off.
TASK_VERBS = word_set("""
    add adjust analyse analyze announce apply approve archive arrange ask assemble assign attach
    back block book bring build buy calculate cancel charge check circulate clean clear close
    collect compare compile complete configure confirm contribute convert copy correct count
    create credit deliver deploy design distribute document double-check download draft draw
    edit email enter estimate evaluate export extend fetch file fill finalise finalize finish
    fix forward gather generate get hand hire implement import include inform inspect install
    investigate invoice issue label list log mail make measure merge migrate monitor note notify
    obtain open order organise organize pack paint pay pick plan polish post prepare print
    process produce proofread provide publish pull purchase push put read record refactor refund
    register remove rename renew rent repair replace reply report request research resend
    reserve reset resolve respond restart return review revise rewrite run save scan schedule
    search sell send separate set share ship sign solve sort specify store study submit
    summarise summarize supply swap switch tag take test tidy track train transfer translate
    trim turn type update upgrade upload validate verify wash work write
""")

# Those that also describe how a thing works, or what is done in the meeting itself.
EVERYDAY_VERBS = word_set("""
    add back block bring build charge clean clear close collect compare count cut design get
    hand include label list make mark measure open pay pick process produce pull push put read
    record remove repair replace report run save search sell separate set share ship solve sort
    specify store switch tag take test track train turn type validate wash work write
""")

# Verbs of work that need the word after them.
PARTICLE_VERBS = frozenset({
    "back up", "call off", "clean up", "clear up", "cut down", "deal with", "dig into",
    "draw up", "figure out", "fill in", "fill out", "find out", "follow through", "get rid",
    "go over", "hand in", "hand out", "hand over", "jot down", "lay out", "look after", "look for",
    "look into", "look up", "make up", "note down", "pick up", "print out", "put together",
    "read through", "report back", "set up", "sign off", "sign up", "sort out", "switch off",
    "take care", "take over", "think through", "try out", "turn off", "turn on", "work on",
    "work out", "wrap up", "write down", "write up", "send out", "send over", "send back",
})  # fmt: skip

TASK_ADVERBS = word_set("""
    actually all already also always both certainly definitely first go-ahead just kindly maybe
    now only perhaps personally please probably quickly really still then to
""")

DETERMINERS = word_set("""
    a all an another any both each eight every five four half her his its many more my nine no
    one our seven several six some ten the their these those three two your
""")
OBJECT_PRONOUNS = word_set("me us you him her them everyone everybody")

# Words with which no object begins.
NO_OBJECTS = word_set("""
    able about across after again against ahead along already also always and anyway around as
    at away back before behind below better between both but by careful down early either else
    enough even fine first for from further glad good great happy hard here how if in inside
    interesting into it just later less like long longer more most much near next nice not now
    of off often on once one only onto or out outside over past probably quickly quite rather
    ready really right same so soon still sure than that then there this through till to today
    together tomorrow tonight too toward towards under until up upon very well what when where
    whether which while who why with within without worse yet
""")

# Words that begin a sentence with a capital letter and are no names.
NO_NAMES = (
    STOP_WORDS | PRONOUNS | CLAUSE_OPENERS | DETERMINERS | TASK_VERBS | FILLER_WORDS
) | word_set("everything nothing nobody someone something let dear hi hello plus")

# What stands alone before or behind a request, and is no name.
NO_ADDRESSEES = word_set("""
    absolutely afternoon agreed all awesome awhile brilliant cheers colleagues congratulations cool
    correct darling dude evening everybody everyone exactly excellent excuse fantastic first folks
    friends gentlemen god gosh guys indeed ladies lovely madam man mate monday tuesday wednesday
    thursday friday saturday sunday next nice otherwise people please question second sir super
    team therefore third today tomorrow tonight understood weird welcome wonderful yesterday
""")

# Verbs that contact a person.
CONTACT_VERBS = word_set(
    "chase contact email e-mail invite mail message phone ping remind ring text"
)
MEETING_NOUNS = word_set("""
    appointment call catch-up chat conversation demo discussion follow-up interview meeting
    review-call room session slot sync time visit workshop
""")
MESSAGE_NOUNS = word_set("""
    email e-mail mail message invite invites invitation invitations reminder text line note word
""")
