from tests.acceptance.test_consent import connected, user_of, asked, callback
import time, threading
def test_x(service, person, world):
    connected(service, world, person)
    n=len(world.mail.seen)
    for i in range(5):
        t=time.time(); a=service.agent.execute("mailhub.search", person, params={"q":"x"}); print("search", a.json["status"], time.time()-t)
        t=time.time(); a=service.agent.execute("mailhub.list_messages", person); print("list", a.json["status"], time.time()-t)
    print(len(world.mail.seen)-n)
    def go(name):
        t=time.time(); a=service.agent.execute(name, person, {"Prefer":"wait=8"}); print(name, a.json["status"], time.time()-t)
    for i in range(5):
        ts=[threading.Thread(target=go, args=("mailhub.list_messages",)) for _ in range(4)]
        [t.start() for t in ts]; [t.join() for t in ts]
    print(len(world.mail.seen)-n)
    for i in range(5):
        ts=[threading.Thread(target=go, args=("echo.look",)) for _ in range(4)]
        [t.start() for t in ts]; [t.join() for t in ts]
    # two resumed at once
    for k in range(4):
        p2=f"{k}{person}"
        f,item=asked(service,p2); g,_=asked(service,p2,"mailhub.search")
        h,_=asked(service,p2)
        world.consent(item["url"], user=user_of(p2))
        t=time.time()
        print([service.agent.settled(x)["status"] for x in (f,g,h)], time.time()-t)
    for l in service.command("audit", "export").stdout.splitlines(): 
        if '"lost"' in l: print(l)
    assert 0
