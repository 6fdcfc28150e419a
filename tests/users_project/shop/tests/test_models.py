"""Models, managers, signals, commands and transactions, in Django's test cases."""

from io import StringIO

from asgiref.sync import sync_to_async
from django.core import mail
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from shop.factories import make_author, make_book, make_user
from shop.models import Author, Book, Event, Order, Tag
from shop.services import SoldOutError, abuy, buy


class BookTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.author = make_author(name="Mary Shelley")
        cls.book = make_book(title="Frankenstein", author=cls.author)
        cls.sold_out = make_book(title="The Last Man", author=cls.author, stock=0)

    def test_manager(self):
        self.assertSequenceEqual(Book.in_stock.all(), [self.book])

    async def test_manager_async(self):
        self.assertEqual([book async for book in Book.in_stock.all()], [self.book])

    def test_relations(self):
        self.assertEqual(self.author.books.count(), 2)
        self.book.tags.add(Tag.objects.create(name="gothic"))
        self.assertEqual(Book.objects.get(tags__name="gothic"), self.book)

    async def test_relations_async(self):
        self.assertEqual(await self.author.books.acount(), 2)
        await self.book.tags.aadd(await Tag.objects.acreate(name="gothic"))
        self.assertEqual(await Book.objects.aget(tags__name="gothic"), self.book)

    async def test_prefetch_async(self):
        await self.book.tags.acreate(name="gothic")
        found = Book.objects.select_related("author").prefetch_related("tags")
        book = await found.aget(pk=self.book.pk)
        self.assertEqual(book.author.name, "Mary Shelley")
        self.assertEqual([tag.name for tag in book.tags.all()], ["gothic"])

    async def test_changes_are_rolled_back_first(self):
        await Book.objects.all().adelete()
        self.assertFalse(await Book.objects.aexists())

    async def test_changes_are_rolled_back_second(self):
        self.assertEqual(await Book.objects.acount(), 2)
        await Book.objects.acreate(title="Valperga", author=self.author)

    def test_changes_are_rolled_back_third(self):
        self.assertEqual(Book.objects.count(), 2)

    def test_signals(self):
        self.book.delete()
        texts = list(Event.objects.order_by("pk").values_list("text", flat=True))
        self.assertEqual(texts[-1], "deleted Frankenstein")

    async def test_signals_async(self):
        self.book.title = "Modern Prometheus"
        await self.book.asave()
        await self.book.adelete()
        texts = [e.text async for e in Event.objects.order_by("pk")]
        expected = ["changed Modern Prometheus", "deleted Modern Prometheus"]
        self.assertEqual(texts[-2:], expected)

    def test_broken_constraint_in_a_savepoint(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            make_author(name="Mary Shelley")
        self.assertEqual(Author.objects.count(), 1)

    async def test_get_or_create_async(self):
        found, created = await Author.objects.aget_or_create(name="Mary Shelley")
        self.assertEqual((found, created), (self.author, False))
        found, created = await Author.objects.aupdate_or_create(name="Percy")
        self.assertTrue(created)

    async def test_bulk_async(self):
        books = [Book(title=str(n), author=self.author) for n in range(10)]
        await Book.objects.abulk_create(books)
        await Book.objects.filter(title__lt="5").aupdate(stock=7)
        self.assertEqual(await Book.objects.filter(stock=7).acount(), 5)

    def test_number_of_queries(self):
        with self.assertNumQueries(1):
            list(Book.objects.select_related("author"))

    def test_command(self):
        out = StringIO()
        call_command("restock", 5, stdout=out)
        self.assertIn("1 restocked", out.getvalue())
        self.sold_out.refresh_from_db()
        self.assertEqual(self.sold_out.stock, 5)

    async def test_command_in_a_thread(self):
        out = StringIO()
        await sync_to_async(call_command)("restock", 5, stdout=out)
        self.assertIn("1 restocked", out.getvalue())
        await self.sold_out.arefresh_from_db()
        self.assertEqual(self.sold_out.stock, 5)


class FixtureTests(TestCase):
    fixtures = ["books"]

    def test_loaded(self):
        self.assertEqual(Book.objects.get(pk=1).tags.get().name, "gothic")

    async def test_loaded_async(self):
        self.assertEqual((await Book.objects.aget(pk=2)).title, "The Last Man")


class OrderTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.customer = make_user()
        cls.book = make_book(stock=1)

    def test_mail_after_the_commit(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            buy(self.customer, self.book.pk)
        self.assertEqual(len(callbacks), 1)
        self.assertEqual(mail.outbox[0].to, [self.customer.email])

    def test_no_mail_without_a_commit(self):
        buy(self.customer, self.book.pk)
        self.assertEqual(mail.outbox, [])

    def test_sold_out(self):
        Book.objects.update(stock=0)
        with self.assertRaises(SoldOutError):
            buy(self.customer, self.book.pk)
        self.assertFalse(Order.objects.exists())

    async def test_sold_out_async(self):
        await Book.objects.aupdate(stock=0)
        with self.assertRaises(SoldOutError):
            await abuy(self.customer, self.book.pk)
        self.assertFalse(await Order.objects.aexists())


class CommittedTests(TransactionTestCase):
    serialized_rollback = True

    def test_mail_is_sent(self):
        buy(make_user(email="a@example.com"), make_book().pk)
        self.assertEqual(mail.outbox[0].to, ["a@example.com"])

    async def test_mail_is_sent_async(self):
        customer = await sync_to_async(make_user)(email="a@example.com")
        book = await sync_to_async(make_book)()
        await abuy(customer, book.pk)
        self.assertEqual(mail.outbox[0].to, ["a@example.com"])

    async def test_nothing_is_left_async(self):
        self.assertEqual(await Book.objects.acount(), 0)
        await sync_to_async(make_book)()

    def test_nothing_is_left(self):
        self.assertEqual(Book.objects.count(), 0)
        make_book()

    def test_rollback(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            make_book()
            raise ZeroDivisionError
        self.assertFalse(Book.objects.exists())

    def test_on_commit_is_discarded_with_a_rollback(self):
        called = []
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: called.append(1))
            raise ZeroDivisionError
        self.assertEqual(called, [])

    def test_number_of_queries_of_an_async_view(self):
        make_book(title="Dracula")
        with self.assertNumQueries(3):
            response = self.client.get("/books/")
        self.assertEqual(response.json()["books"], ["Dracula"])


class SerializedTests(TransactionTestCase):
    serialized_rollback = True

    def test_data_of_migrations_is_there(self):
        self.assertTrue(Tag.objects.filter(name="classic").exists())
        Tag.objects.all().delete()

    async def test_data_of_migrations_is_there_async(self):
        self.assertTrue(await Tag.objects.filter(name="classic").aexists())
        await Tag.objects.all().adelete()


class SequenceTests(TransactionTestCase):
    reset_sequences = True
    serialized_rollback = True

    def test_first(self):
        self.assertEqual(make_author().pk, 1)

    async def test_second(self):
        self.assertEqual((await Author.objects.acreate(name="one")).pk, 1)


class TwoDatabasesTests(TestCase):
    databases = {"default", "archive"}

    def test_archive(self):
        Author.objects.using("archive").create(name="archived")
        self.assertFalse(Author.objects.exists())
        self.assertEqual(Author.objects.using("archive").count(), 1)

    async def test_archive_async(self):
        await Author.objects.using("archive").acreate(name="archived")
        self.assertFalse(await Author.objects.aexists())
        self.assertEqual(await Author.objects.using("archive").acount(), 1)


class OneDatabaseTests(TestCase):
    def test_others_are_refused(self):
        with self.assertRaisesMessage(AssertionError, "'archive' are not allowed"):
            Author.objects.using("archive").count()

    async def test_others_are_refused_async(self):
        with self.assertRaisesMessage(AssertionError, "'archive' are not allowed"):
            await Author.objects.using("archive").acount()


class NoDatabaseTests(SimpleTestCase):
    def test_refused(self):
        with self.assertRaisesMessage(AssertionError, "'default' are not allowed"):
            Author.objects.count()

    async def test_refused_async(self):
        with self.assertRaisesMessage(AssertionError, "'default' are not allowed"):
            await Author.objects.acount()


class LockTests(TransactionTestCase):
    serialized_rollback = True

    def test_lock_needs_a_transaction(self):
        if not connection.features.has_select_for_update:
            self.skipTest("no locks of rows")
        with self.assertRaises(transaction.TransactionManagementError):
            list(Book.objects.select_for_update())

    def test_lock(self):
        book = make_book()
        with transaction.atomic():
            locked = Book.objects.select_for_update().get(pk=book.pk)
            locked.stock += 1
            locked.save()
        book.refresh_from_db()
        self.assertEqual(book.stock, 2)
